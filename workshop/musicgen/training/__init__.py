"""How the course's own MusicGen is made: its codec, then its text encoder and language model together."""
