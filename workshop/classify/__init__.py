"""How the course's classifiers are trained, scored, quantized and taught by larger ones."""
