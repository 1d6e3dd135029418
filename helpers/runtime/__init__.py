"""Running a bundle: sessions, its manifest, windows, sampling. No PyTorch."""
