"""What the notebooks check for the reader: the computer, and each exercise.

One module a notebook, imported as `import helpers.lesson.checks.MODULE as checks`; a check returns a
`Verdict`: right, not yet attempted, or wrong because. Importing this package needs the standard library
only, so that `environment` can name what is missing.
"""

from helpers.lesson.checks.computer import environment

__all__ = ["environment"]
