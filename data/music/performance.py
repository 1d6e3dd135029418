"""From the page to the stage: swing, small errors of timing and touch, and a MIDI file.

MIDI files are written with `mido`: small, maintained, pure Python, and it writes any MIDI message.
"""

from pathlib import Path
from typing import NamedTuple

from data.music.compose import Piece
from data.music.dice import Dice
from data.music.instruments import INSTRUMENTS, KITS
from data.music.notes import BEAT, PHRASE_BARS, Note
from data.music.phrases import DRUMS
from helpers.support.files import written_whole

CHANNELS = {"melody": 0, "chords": 1, "bass": 2, DRUMS: 9}  # General MIDI plays drums on the tenth
LEVELS = {"melody": 0.0, "chords": -4.5, "bass": -4.0, DRUMS: -1.0}  # decibels
LEAD_IN = 0.03  # seconds before the first beat, so that a note may come early
RING = 1.8  # seconds after the last bar, for what still sounds


class Played(NamedTuple):
    """A note as played: start and end in seconds, MIDI pitch and velocity."""

    start: float
    end: float
    pitch: int
    velocity: int


def swung(tick: float, unit: int, swing: float) -> float:
    """Where a tick goes when the second of two notes of `unit` ticks comes late by `swing` of a unit."""
    pair, within = divmod(tick, 2 * unit)
    middle = unit * (1 + swing)
    if within < unit:
        return pair * 2 * unit + within * middle / unit
    return pair * 2 * unit + middle + (within - unit) * (2 * unit - middle) / unit


def written(piece: Piece, part: str) -> list[Note]:
    """All notes of a part, from the beginning of the piece, with the dynamics of the phrases."""
    notes = []
    phrase_length = PHRASE_BARS * piece.plan.bar
    for n, (phrase, level) in enumerate(zip(piece.phrases, piece.levels)):
        for note in phrase.get(part, []):
            swell = 5 - abs(note.start / phrase_length - 0.6) * 10  # each phrase grows and sinks back
            velocity = note.velocity + level + round(swell)
            notes.append(note._replace(start=note.start + n * phrase_length, velocity=velocity))
    end = len(piece.phrases) * phrase_length
    return notes + [n._replace(start=n.start + end) for n in piece.ending.get(part, [])]


def perform(piece: Piece, part: str) -> list[Played]:
    """A part as somebody plays it: never twice at quite the same time or strength."""
    style, dice = piece.plan.style, Dice(piece.plan.name, "performance", part)
    looseness = style.looseness * (0.5 if part == DRUMS else 1)
    second = 60 / piece.plan.tempo / BEAT  # a tick, in seconds
    played: list[Played] = []
    sounding: dict[int, int] = {}  # pitch -> index of the last note
    stroke, strings, late = -1, 0, 0.0
    for note in sorted(written(piece, part)):
        if note.start != stroke:
            stroke, strings, late = note.start, 0, looseness * dice.bell()
        start = LEAD_IN + second * swung(note.start, style.swing_unit, piece.plan.swing) + late
        if part == "chords":
            start += strings * style.strum / 3
            strings += 1
        start = max(0.0, start + 0.3 * looseness * dice.bell())
        end = max(
            start + 0.05,
            LEAD_IN + second * swung(note.start + note.length, style.swing_unit, piece.plan.swing),
        )
        if note.pitch in sounding:  # one key cannot be pressed twice at a time
            before = played[sounding[note.pitch]]
            played[sounding[note.pitch]] = before._replace(
                end=max(before.start + 0.02, min(before.end, start - 0.01))
            )
        sounding[note.pitch] = len(played)
        velocity = max(18, min(124, note.velocity + round(7 * dice.bell())))
        played.append(Played(start, end, note.pitch, velocity))
    return played


def volume(decibels: float) -> int:
    """MIDI controller 7 for a gain; synthesizers square it, and 100 is taken as 0 dB."""
    return max(1, min(127, round(100 * 10 ** (decibels / 40))))


def part_events(piece: Piece, part: str, second: float) -> list[tuple[int, int, str, dict]]:
    """(tick, rank among equal ticks, kind, values) of everything a part sends, `second` ticks a second."""
    style, name = piece.plan.style, piece.plan.players[part]
    dry = part in ("bass", DRUMS) and len(piece.plan.players) > 1
    program = KITS[name] if part == DRUMS else INSTRUMENTS[name].program
    gain = LEVELS[part] + (0 if part == DRUMS else INSTRUMENTS[name].gain)
    events = [
        (0, 0, "program_change", {"program": program}),
        (0, 0, "control_change", {"control": 7, "value": volume(gain)}),
        (0, 0, "control_change", {"control": 91, "value": style.reverb // 2 if dry else style.reverb}),
    ]
    for n in perform(piece, part):
        events.append((round(n.start * second), 2, "note_on", {"note": n.pitch, "velocity": n.velocity}))
        events.append((round(n.end * second), 1, "note_off", {"note": n.pitch, "velocity": 64}))
    return sorted(events, key=lambda event: event[:2])


def write_midi(piece: Piece, path: Path) -> None:
    """Write a piece as a standard MIDI file, whole or not at all."""
    import mido

    microseconds = mido.bpm2tempo(piece.plan.tempo)  # a beat
    second = BEAT * 1_000_000 / microseconds
    tempo = mido.MetaMessage("set_tempo", tempo=microseconds)
    meter = mido.MetaMessage("time_signature", numerator=piece.plan.style.beats)
    file = mido.MidiFile(type=1, ticks_per_beat=BEAT)
    file.tracks.append(mido.MidiTrack([tempo, meter]))
    for part, name in piece.plan.players.items():
        track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=f"{part}: {name}")]), 0
        for tick, _, kind, values in part_events(piece, part, second):
            track.append(mido.Message(kind, channel=CHANNELS[part], time=tick - now, **values))
            now = tick
        track.append(mido.MetaMessage("end_of_track", time=round(RING * second)))
        file.tracks.append(track)
    with written_whole(path) as temporary:
        file.save(temporary)
