"""The one exception that means "the input is at fault", with a message written for a person."""


class InputError(ValueError):
    """A mistake the user can mend: a missing file, not a checkpoint, empty audio.

    The message is a single line that says what is wrong and what to do. The commands print it
    alone and exit with status 2; in a notebook it reads like any other exception.
    """
