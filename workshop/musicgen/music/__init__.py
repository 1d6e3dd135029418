"""Music that is composed with its description: the narrow world that the small MusicGen is made for."""
