"""A night chorus: twelve animals that nobody has heard, composed with numpy alone."""
