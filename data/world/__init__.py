"""A world that one can check: pictures of coloured shapes and signs, and sentences about them."""
