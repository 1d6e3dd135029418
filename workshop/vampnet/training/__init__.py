"""Training VampNet's codec, transformers and overlays."""
