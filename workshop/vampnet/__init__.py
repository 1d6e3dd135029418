"""VampNet: training, scores, times."""
