"""How good the course's own MusicGen is: its codec, its tokens, and whether the words work."""
