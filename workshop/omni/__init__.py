"""How the omni is made."""
