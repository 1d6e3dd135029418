"""Scoring a VampNet on music it has not heard."""
