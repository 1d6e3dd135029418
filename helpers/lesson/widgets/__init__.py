"""What a reader plays and touches in a notebook: one module a widget, its front end beside it."""

from helpers.lesson.widgets import cells
from helpers.lesson.widgets.decoding import DecodingView, Recording
from helpers.lesson.widgets.graph_view import GraphView
from helpers.lesson.widgets.grid import CodeGrid, MaskEditor
from helpers.lesson.widgets.live import Live
from helpers.lesson.widgets.player import Player
from helpers.lesson.widgets.sound_file import SoundFile

cells.shield(cells.running_shell())

__all__ = ["CodeGrid", "DecodingView", "GraphView", "Live", "MaskEditor", "Player", "Recording", "SoundFile"]
