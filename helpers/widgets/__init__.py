"""What a reader plays and touches in a notebook: one module a widget, its front end beside it."""

from helpers.widgets import cells
from helpers.widgets.decoding import DecodingView, Recording
from helpers.widgets.graph_view import GraphView
from helpers.widgets.grid import CodeGrid, MaskEditor
from helpers.widgets.live import Live
from helpers.widgets.player import Player
from helpers.widgets.sound_file import SoundFile

cells.shield(cells.running_shell())

__all__ = ["CodeGrid", "DecodingView", "GraphView", "Live", "MaskEditor", "Player", "Recording", "SoundFile"]
