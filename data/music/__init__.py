"""The course's own music: composed by rule, played by a sampled orchestra, split so that nothing leaks.

    python -m data.music OUT_DIR --minutes 60 --seed 0 --split train

Read in this order: `dice` (chance that is the same everywhere), `notes`, `theory` (keys, chords, voicings),
`drums`, `accompaniment`, `melody`, `styles` (what a style is made of), `phrases` (which side of the split a
phrase belongs to), `compose` (a piece), `render` (a piece as sound), `__main__` (the command), `clips`.
"""
