"""How fast, how small, how much memory: `python -m helpers bench`.

`benchmark` runs everything; `worker` is one version in a process of its own, `gate` refuses what must not be
timed, `report` says what was found. `checkpoints` makes files of the public size where none are at hand.
`quality` and `streaming` are commands of their own: what 8 bit costs in sound, and what a long file takes.
"""
