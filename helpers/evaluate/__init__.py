"""How good a checkpoint is on music it has not heard: `python -m helpers evaluate`.

`evaluation` runs everything; each score is a function of its own that a notebook can call: `codec`,
`opus` (what a conventional codec makes of the same clips), `tokens`, `generation`.
"""
