"""A voice from formulas: sentences of the world's words, spoken by speakers drawn at random."""
