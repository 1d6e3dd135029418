"""VampNet: masked tokens of a neural codec (Flores Garcia et al. 2023, arXiv 2307.04686)."""
