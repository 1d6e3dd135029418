"""What every training shares: the loop that saves and resumes, losses, music, workers, curves."""
