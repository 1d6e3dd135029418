"""What a reader plays and touches in a notebook: one module a widget, its front end beside it."""

from helpers.widgets.player import Player

__all__ = ["Player"]
