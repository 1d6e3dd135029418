"""Training the omni, stage by stage."""
