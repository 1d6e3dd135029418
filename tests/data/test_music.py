"""The composer keeps its promises: same notes for a seed, no phrase on two sides, in key, range and time."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from data.music import phrases, styles
from data.music.clips import CLIPS, FOLDER
from data.music.compose import compose
from data.music.dice import Dice
from data.music.instruments import INSTRUMENTS
from data.music.notes import BEAT, Note
from data.music.performance import LEAD_IN, perform, swung
from data.music.phrases import DRUMS, bars_of, fingerprint, may_follow, together
from data.music.render import PEAK, SOUND_FONTS, faded, levelled, synthesizer
from data.music.theory import MODES, Chord, Key, lead_voices
from helpers.audio.files import load
from helpers.audio.loudness import loudness
from helpers.support.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = {"train": 30, "valid": 4, "test": 4}  # pieces; two rounds of the mixture, and some held-out ones

has_synthesizer = shutil.which("fluidsynth") and any(Path(font).is_file() for font in SOUND_FONTS)
renders = pytest.mark.skipif(not has_synthesizer, reason="rendering needs fluidsynth and FluidR3_GM.sf2")


@pytest.fixture(scope="module")
def pieces():
    """Split -> pieces of the mixture; of the held-out splits, styles from all over it."""
    step = {"train": 1, "valid": 5, "test": 4}
    return {split: [compose(5, split, step[split] * i) for i in range(n)] for split, n in SAMPLE.items()}


def every(pieces):
    return [piece for split in pieces for piece in pieces[split]]


def windows(piece):
    """(part, fingerprint) of any four bars in a row, the last bar included, in which a part plays twice."""
    bar, line = piece.plan.bar, [*piece.phrases, piece.ending]
    for part in piece.plan.players:
        notes = [n._replace(start=n.start + 4 * i * bar) for i, p in enumerate(line) for n in p.get(part, [])]
        for first in range(4 * len(piece.phrases) - 2):
            inside = [n for n in notes if 0 <= n.start - first * bar < 4 * bar]
            if len({n.start // bar for n in inside}) > 1:
                yield part, fingerprint([n._replace(start=n.start - first * bar) for n in inside], part)


# --- The same everywhere ----------------------------------------------------------------------------------


def test_dice_fall_as_they_always_did():
    dice = Dice("a", 1)
    fallen = [dice.between(0, 99), dice.choose("abcdef"), dice.weighted({"x": 1, "y": 3}), dice.chance(0.5)]
    assert fallen == [17, "e", "y", True]
    assert dice.uniform(2, 3) == pytest.approx(2.340460020106521, abs=1e-15)


def test_the_same_seed_gives_the_notes_it_always_gave():
    assert [compose(*a).digest for a in ((0, "train", 0), (0, "train", 7), (3, "test", 12))] == [
        "9d07772e0cc9739a",
        "9326cd74437888ae",
        "308ff254aff59391",
    ]
    assert compose(0, "train", 2, "music_box").digest == "9e0aad5f3096f607"


def test_other_seeds_splits_and_indices_give_other_notes():
    arguments = [(0, "train", 12), (1, "train", 12), (0, "valid", 12), (0, "train", 27)]
    assert len({compose(*a).digest for a in arguments}) == len(arguments)


# --- The split --------------------------------------------------------------------------------------------


def test_fingerprints_ignore_key_touch_and_length_but_not_rhythm_and_line():
    line = [Note(0, 240, 60, 80), Note(480, 240, 64, 80)]
    same = [Note(n.start, 100, n.pitch + 5, 40) for n in line]
    assert fingerprint(line, "melody") == fingerprint(same, "bass")
    assert fingerprint(line, "melody") != fingerprint([line[0], line[1]._replace(pitch=65)], "melody")
    assert fingerprint(line, "melody") != fingerprint([line[0], line[1]._replace(start=360)], "melody")
    assert fingerprint(line, DRUMS) != fingerprint(same, DRUMS)  # other drums


def test_no_four_bars_of_any_part_are_on_two_sides(pieces):
    found = {split: {w for piece in pieces[split] for w in windows(piece)} for split in SAMPLE}
    assert all(len(found[split]) > 100 for split in SAMPLE)
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not found[one] & found[other]
        alone = [{prints for _, prints in found[split]} for split in (one, other)]
        assert not alone[0] & alone[1]  # nor does one part play there what another plays here


def test_both_halves_of_held_out_phrases_are_marked_and_training_has_no_mark(pieces):
    for piece in every(pieces):
        for phrase in piece.phrases:
            for part, notes in phrase.items():
                bars = bars_of(notes, piece.plan.bar)
                marks = phrases.unit_marks(bars, piece.plan.bar, part)
                if piece.plan.split == "train":
                    assert marks == ["train"] * 3
                else:
                    assert marks[0] == marks[2] == piece.plan.split


def test_the_unit_across_a_phrase_boundary_counts():
    piece = compose(5, "train", 12)
    phrase = piece.phrases[0]["melody"]
    before = bars_of(phrase, piece.plan.bar)[-1]
    outcomes = {
        may_follow(
            [n._replace(pitch=n.pitch + up) for n in before], phrase, piece.plan.bar, "melody", "train"
        )
        for up in range(24)
    }
    assert outcomes == {True, False}


def test_the_manifest_lists_every_phrase_of_every_part(pieces):
    for piece in every(pieces):
        prints = piece.fingerprints
        assert prints["all"] == [together(phrase) for phrase in piece.phrases]
        for part in piece.plan.players:
            assert len(prints.get(part, [])) == sum(part in phrase for phrase in piece.phrases)


# --- The music --------------------------------------------------------------------------------------------


def test_phrases_are_four_bars_long_and_every_bar_is_filled(pieces):
    for piece in every(pieces):
        end = 4 * piece.plan.bar
        assert len(piece.phrases) == len(piece.plan.form)
        for phrase in piece.phrases:
            starts = [n.start for notes in phrase.values() for n in notes]
            assert starts and 0 <= min(starts) and max(starts) < end
            assert len({start // piece.plan.bar for start in starts}) >= 3
        assert piece.seconds == pytest.approx(
            (end * len(piece.phrases) + piece.plan.bar) / BEAT * 60 / piece.plan.tempo
        )


def test_tempo_and_styles_cover_what_is_promised(pieces):
    train = pieces["train"]
    assert {p.plan.style_name for p in train} == set(styles.STYLES)
    assert all(80 <= p.plan.tempo <= 140 for p in every(pieces))
    assert all(p.plan.style.tempo[0] <= p.plan.tempo <= p.plan.style.tempo[1] for p in every(pieces))
    assert len({p.plan.key.tonic for p in train}) >= 9 and {p.plan.key.mode for p in train} == set(MODES)


def test_notes_stay_in_key(pieces):
    """Melody and chords keep to the scale (and minor's leading tone); the bass may pass chromatically."""
    for piece in every(pieces):
        key = piece.plan.key
        scale = {(key.tonic + step) % 12 for step in MODES[key.mode]}
        scale |= {(key.tonic + 11) % 12} if key.mode == "minor" else set()
        notes = [n for phrase in piece.phrases for part in ("melody", "chords") for n in phrase.get(part, [])]
        assert {n.pitch % 12 for n in notes} <= scale
        bass = [n.pitch % 12 in scale for phrase in piece.phrases for n in phrase.get("bass", [])]
        assert not bass or np.mean(bass) > 0.8
        tonic = {(key.tonic + step) % 12 for step in (MODES[key.mode][i] for i in (0, 2, 4, 6))}
        assert {n.pitch % 12 for part in piece.ending if part != DRUMS for n in piece.ending[part]} <= tonic


def test_notes_are_within_the_reach_of_their_instruments(pieces):
    for piece in every(pieces):
        for phrase in piece.phrases:
            for part in phrase.keys() - {DRUMS}:
                instrument = INSTRUMENTS[piece.plan.players[part]]
                assert all(instrument.low <= n.pitch <= instrument.high for n in phrase[part])
        for part in piece.plan.players:
            assert all(0 <= n.pitch <= 127 and 1 <= n.velocity <= 127 for n in perform(piece, part))


def test_the_bass_plays_the_root_of_every_chord():
    piece = compose(5, "train", 1)
    for phrase in piece.phrases:
        for number, bar in enumerate(bars_of(phrase.get("bass", []), piece.plan.bar)):
            if bar and "chords" in phrase:
                over = {n.pitch % 12 for n in bars_of(phrase["chords"], piece.plan.bar)[number]}
                assert min(bar).pitch % 12 in over


def test_melodies_mostly_step_and_never_leap_more_than_an_octave(pieces):
    leaps = [
        abs(b.pitch - a.pitch)
        for p in every(pieces)
        for phrase in p.phrases
        for a, b in pairwise(phrase.get("melody", []))
    ]
    assert max(leaps) <= 12 and np.mean(np.array(leaps) <= 4) > 0.65


def test_voices_move_little_from_chord_to_chord():
    key = Key(0, "major")
    voicings = lead_voices([Chord(key, degree, 3) for degree in (0, 5, 3, 0)], 48, 74, 60)
    moves = [sum(abs(a - b) for a, b in zip(v, w)) for v, w in pairwise(voicings)]
    assert {p % 12 for p in voicings[0]} == {0, 4, 7} and max(moves) <= 5


def test_a_returning_section_is_recognised_but_not_copied(pieces):
    same, varied = 0, 0
    for piece in pieces["train"]:
        seen = {}
        for letter, phrase in zip(piece.plan.form, piece.phrases):
            for part, notes in phrase.items():
                if (letter, part) in seen:
                    first = seen[letter, part]
                    shared = len({(n.start, n.pitch) for n in first} & {(n.start, n.pitch) for n in notes})
                    same += shared > 0.5 * min(len(first), len(notes))
                    varied += notes != first
                seen.setdefault((letter, part), notes)
    assert same > 60 and varied > 0.4 * same


# --- The performance --------------------------------------------------------------------------------------


def test_swing_delays_the_second_of_two_notes_only():
    assert [swung(t, 240, 0.5) for t in (0, 240, 480, 720)] == [0, 360, 480, 840]
    assert [swung(t, 240, 0.0) for t in (0, 100, 240, 400)] == [0, 100, 240, 400]


def test_what_is_played_keeps_the_written_tempo(pieces):
    for piece in pieces["train"][:15]:
        played = sorted(n.start for part in piece.plan.players for n in perform(piece, part))
        assert 0 <= played[0] and played[-1] < LEAD_IN + piece.seconds
        step = 60 / piece.plan.tempo
        off = [abs((t - LEAD_IN) / step - round((t - LEAD_IN) / step)) * step for t in played]
        assert np.mean(np.array(off) < 0.03) > 0.2  # many notes on the beat, within 30 ms


def test_a_key_is_released_before_it_is_struck_again(pieces):
    for piece in pieces["train"][:15]:
        for part in piece.plan.players:
            by_pitch = {}
            for note in perform(piece, part):
                by_pitch.setdefault(note.pitch, []).append(note)
            for notes in by_pitch.values():
                assert all(a.end <= max(b.start, a.start + 0.02) for a, b in pairwise(notes))


def test_fades_end_in_silence_and_levels_are_kept():
    noise = np.random.default_rng(0).standard_normal(88200).astype(np.float32)
    noise[::9000] *= 30  # peaks that would pass full scale
    audio = levelled(faded(noise, 0.5), -21.0)
    assert abs(audio[-1]) < 1e-3 and np.abs(audio).max() <= PEAK
    assert -24.5 < loudness(audio, 44100)[0] <= -20.9


# --- The command ------------------------------------------------------------------------------------------


def test_a_missing_synthesizer_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="fluidsynth is missing.*apt-get install") as raised:
        synthesizer()
    assert "\n" not in str(raised.value)


@renders
def test_the_command_renders_lists_and_resumes(tmp_path):
    pytest.importorskip("mido", reason="rendering needs mido")
    command = [sys.executable, "-m", "data.music", str(tmp_path), "--style", "solo_wind", "--split", "valid"]
    for minutes, pieces in (("0.1", 1), ("0.9", 2)):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.flac")}
        subprocess.run([*command, "--minutes", minutes], cwd=ROOT, check=True, capture_output=True)
        assert all(path.stat().st_mtime_ns == when for path, when in before.items())
        rows = json.loads((tmp_path / "valid.json").read_text(encoding="utf-8"))
        assert len(rows) == pieces
    for row in rows:
        audio, rate = load(tmp_path / f"{row['piece']}.flac")
        piece = compose(0, "valid", int(row["piece"][-4:]), "solo_wind")
        assert (rate, len(audio)) == (44100, 1) and row["notes"] == piece.digest
        assert (
            audio.shape[1] / rate == pytest.approx(row["seconds"], abs=0.01)
            and row["seconds"] > piece.seconds
        )
        assert -24 <= loudness(audio, rate)[0] <= -20 and np.abs(audio).max() < 1
        assert np.abs(audio[0, -10:]).max() < 1e-3


# --- The clips that ship ----------------------------------------------------------------------------------


def test_the_clips_are_those_of_the_table_and_small_together():
    files = sorted(FOLDER.glob("*.flac"))
    assert [path.stem for path in files] == sorted(clip.name for clip in CLIPS) and len(files) >= 14
    assert sum(path.stat().st_size for path in files) < 12e6
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{path.name}` |" in table for path in files) and "CC0 1.0" in table and "MIT" in table


@pytest.mark.parametrize("name", [clip.name for clip in CLIPS])
def test_a_clip_can_be_listened_to(name):
    audio, rate = load(FOLDER / f"{name}.flac")
    assert rate == 44100 and len(audio) == 1 and 9 <= audio.shape[1] / rate <= 11
    assert -24 <= loudness(audio, rate)[0] <= -20 and np.abs(audio).max() < 1
    assert np.abs(audio[0, [0, -1]]).max() < 1e-3  # no click at either end
    frames = audio[0][: audio.shape[1] // 4410 * 4410].reshape(-1, 4410).std(1)
    assert np.mean(frames < 1e-3) < 0.2  # hardly any silence


@pytest.mark.parametrize("clip", [c for c in CLIPS if c.style.startswith("solo")], ids=lambda clip: clip.name)
def test_a_clip_says_where_it_comes_from(clip):
    piece = compose(2026, "test", clip.index, clip.style)
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith(f"| `{clip.name}.flac`"))
    assert f"| {piece.plan.tempo} |" in line and piece.plan.name in line
    assert f"| {piece.plan.key.name} |" in line
