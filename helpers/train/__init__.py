"""How the course's own checkpoint is made: `python -m helpers.train codec --music DIR --out DIR`."""
