"""The players: General MIDI programs of the sound font, where they sound well, and how loud to record them.

The gains make equal velocities equally loud: half-second notes across each range, measured in LUFS.
"""

from typing import NamedTuple


class Instrument(NamedTuple):
    """A MIDI program (counted from 0), its lowest and highest pitch here, and a gain in decibels."""

    program: int
    low: int
    high: int
    gain: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether a note lasts as long as it is held: organs, bowed strings, winds, synthesizers."""
        return any(first <= self.program <= last for first, last in ((16, 23), (40, 44), (48, 95)))


INSTRUMENTS = {
    "piano": Instrument(0, 33, 88, 4.0),
    "electric_piano": Instrument(4, 36, 84, -1.5),
    "harpsichord": Instrument(6, 40, 84, -1.0),
    "clavinet": Instrument(7, 40, 76, 1.5),
    "celesta": Instrument(8, 60, 96, 1.0),
    "glockenspiel": Instrument(9, 72, 100, 1.5),
    "music_box": Instrument(10, 60, 96, 1.5),
    "vibraphone": Instrument(11, 53, 88, 4.0),
    "marimba": Instrument(12, 45, 86, 2.0),
    "xylophone": Instrument(13, 65, 96, 4.0),
    "organ": Instrument(16, 40, 84, 0.5),
    "accordion": Instrument(21, 50, 86, 0.5),
    "nylon_guitar": Instrument(24, 40, 79, 0.5),
    "steel_guitar": Instrument(25, 40, 79, 0.5),
    "jazz_guitar": Instrument(26, 40, 79, -1.0),
    "clean_guitar": Instrument(27, 40, 79, -1.0),
    "muted_guitar": Instrument(28, 40, 72, 4.0),
    "overdriven_guitar": Instrument(29, 40, 76, -4.0),
    "acoustic_bass": Instrument(32, 28, 52, 0.5),
    "finger_bass": Instrument(33, 28, 52, -1.5),
    "pick_bass": Instrument(34, 28, 52, -1.0),
    "fretless_bass": Instrument(35, 28, 52, -2.5),
    "slap_bass": Instrument(36, 28, 52, 3.0),
    "synth_bass": Instrument(38, 28, 52, 1.5),
    "violin": Instrument(40, 57, 91, -0.5),
    "viola": Instrument(41, 50, 81, 1.5),
    "cello": Instrument(42, 36, 72, 2.0),
    "pizzicato": Instrument(45, 40, 84, 1.0),
    "harp": Instrument(46, 40, 88, 2.0),
    "strings": Instrument(48, 40, 84, 1.5),
    "slow_strings": Instrument(49, 40, 84, -1.0),
    "trumpet": Instrument(56, 57, 82, -2.0),
    "muted_trumpet": Instrument(59, 57, 82, -2.5),
    "brass": Instrument(61, 48, 79, -2.5),
    "soprano_sax": Instrument(64, 57, 84, -4.0),
    "alto_sax": Instrument(65, 52, 79, -3.5),
    "tenor_sax": Instrument(66, 46, 74, -2.5),
    "oboe": Instrument(68, 60, 86, -2.5),
    "clarinet": Instrument(71, 52, 84, -5.5),
    "flute": Instrument(73, 62, 91, -3.0),
    "recorder": Instrument(74, 65, 91, -4.5),
    "pan_flute": Instrument(75, 60, 86, -3.5),
    "square_lead": Instrument(80, 55, 84, -2.5),
    "warm_pad": Instrument(89, 45, 80, 4.0),
    "kalimba": Instrument(108, 55, 84, 4.0),
    "steel_drums": Instrument(114, 55, 84, 3.0),
}
KITS = {"standard": 0, "room": 8, "power": 16, "electronic": 24, "analog": 25, "jazz": 32, "brush": 40}
