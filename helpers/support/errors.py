"""What is said to a person: the exception for a mistake, the warning for a change of plan."""

import re


def plain(text: object) -> str:
    """Text as one line that only shows characters: escape codes, newlines and the like are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class InputError(ValueError):
    """A mistake the user can mend: a missing file, not a checkpoint, empty audio.

    The message is a single line that says what is wrong and what to do. The commands print it
    alone and exit with status 2; in a notebook it reads like any other exception. What a stranger's file
    put into it cannot move the cursor, change colours or begin a line of its own.
    """

    def __init__(self, message: object = ""):
        super().__init__(plain(message))


class Notice(UserWarning):
    """Something a user should know although it is no mistake: what was asked for was done another way."""


def is_about_memory(error: Exception) -> bool:
    """Whether a library says in words of its own that there was not enough memory."""
    return re.search(r"bad_alloc|t allocate|out of memory|create a primitive", str(error)) is not None


def first_line(error: BaseException) -> str:
    """What another library's error says first, cut short; its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
