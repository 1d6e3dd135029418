"""A tiny model that hears, reads, sees and speaks; README.md beside this file is its plan."""
