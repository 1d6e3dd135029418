"""How good an omni is, on questions, pictures and voices that it has not met."""
