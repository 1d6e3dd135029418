"""The two small models of notebook 08: one follows a melody, one taps where notes begin."""
