"""How the course's own models are made, scored and timed; only the notebooks of the 90s import it."""

import helpers  # noqa: F401  it says how threads wait, before PyTorch is imported
