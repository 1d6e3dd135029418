"""MusicGen: the next token of music, from a text and from what was played before."""
