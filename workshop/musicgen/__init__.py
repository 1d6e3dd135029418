"""The course's own MusicGen: music with words, training, scores."""
