"""What is said to a person: the exception for a mistake, the warning for a change of plan."""


class InputError(ValueError):
    """A mistake the user can mend: a missing file, not a checkpoint, empty audio.

    The message is a single line that says what is wrong and what to do. The commands print it
    alone and exit with status 2; in a notebook it reads like any other exception.
    """


class Notice(UserWarning):
    """Something a user should know although it is no mistake: what was asked for was done another way."""
