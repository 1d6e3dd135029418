"""Nested settings out of a stranger's YAML or JSON."""

from collections.abc import Mapping

import yaml

from helpers.support.config import shown
from helpers.support.errors import InputError

LONGEST_YAML = 200_000  # characters; a real one has some thousands
DEEPEST_REFERENCE = 8


class Settings:
    """Nested settings read by dotted names, `${a.b}` followed to what it stands for."""

    def __init__(self, root: object, called: str):
        if not isinstance(root, Mapping):
            raise InputError(f"{called} should be a table of settings, not {shown(root)}.")
        self.root, self.called = root, called

    def get(self, name: str, default: object = None) -> object:
        """The setting, `default` where it is absent; an explicit null is None."""
        value: object = self.root
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        for _ in range(DEEPEST_REFERENCE):
            if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
                return value
            value = Settings(self.root, self.called)._plain(value[2:-1])
        raise InputError(f"{self.called}: '{name}' refers to itself.")

    def _plain(self, name: str) -> object:
        value: object = self.root
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise InputError(f"{self.called} refers to {shown(name)}, which it does not have.")
            value = value[part]
        return value

    def only(self, name: str, allowed: object, default: object = None) -> None:
        """Raise InputError unless the setting has the one value that this course has layers for."""
        value = self.get(name, default)
        if value != allowed or isinstance(value, bool) != isinstance(allowed, bool):
            raise InputError(
                f"{self.called}: '{name}' is {shown(value)}, but only {shown(allowed)} is supported."
            )

    def part(self, name: str) -> "Settings":
        """The table of settings under a name."""
        return Settings(self.get(name), f"{self.called}: '{name}'")


def read_yaml(text: object, called: str) -> Settings:
    """Settings from YAML that may build plain values alone. Raises InputError."""
    if not isinstance(text, str) or len(text) > LONGEST_YAML:
        raise InputError(f"{called} is not YAML text of a length that settings have.")
    try:
        return Settings(yaml.safe_load(text), called)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{called} is not plain YAML; nothing of it was run.") from error
