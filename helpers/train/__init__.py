"""How the course's own checkpoint is made: `python -m helpers.train all --music DIR --out DIR`."""
