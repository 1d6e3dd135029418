"""The voice from formulas: the same for a seed, its words where it says, understood by somebody else."""

import numpy as np
import pytest

from data.speech.phones import LEXICON, PHONES
from data.speech.voice import HOP, RATE, Speaker, resonance, say
from data.world.items import item
from data.world.sentences import WORDS
from workshop.scoring.listener import word_error_rate, word_errors

TEXT = "the red circle is in the top left"


def spoken(seed, text=TEXT):
    return say(text, Speaker.born(np.random.default_rng(seed)), np.random.default_rng(seed))


def test_every_word_can_be_said():
    assert set(LEXICON) == set(WORDS)
    assert {phone for word in LEXICON.values() for phone in word} == set(PHONES)


def test_an_utterance_is_the_same_for_a_seed():
    one, same, other = spoken(1), spoken(1), spoken(2)
    np.testing.assert_array_equal(one.audio, same.audio)
    assert one.words == same.words and one.audio.dtype == np.float32
    assert np.abs(one.audio).max() == pytest.approx(0.5) and len(other.audio) != len(one.audio)


def test_words_follow_one_another():
    said = spoken(3)
    assert [word.word for word in said.words] == TEXT.split()
    assert all(one.end == other.start for one, other in zip(said.words, said.words[1:]))
    assert 0 < said.words[0].start and said.words[-1].end < len(said.audio)
    assert len(said.audio) % HOP == 0 and all(word.start % HOP == 0 for word in said.words)


def test_it_sounds_while_words_last_and_not_outside():
    for seed in range(5):
        said = spoken(seed)
        first, last = said.words[0].start, said.words[-1].end
        level = np.sqrt(np.mean(said.audio[first:last] ** 2))
        outside = np.concatenate([said.audio[: first - 400], said.audio[last + 800 :]])
        assert 0.05 < level < 0.5 and np.abs(outside).max(initial=0) < 0.05


def test_a_voice_has_its_pitch():
    """The distance at which a vowel repeats."""
    for pitch in (100.0, 150.0, 220.0):
        said = say("see", Speaker(pitch, breathy=0, lively=0), np.random.default_rng(0))
        middle = said.audio[len(said.audio) // 2 :][:1600]
        spectrum = np.abs(np.fft.rfft(middle, 1 << 15)) ** 2
        again = np.fft.irfft(spectrum)[RATE // 300 : RATE // 70]
        assert RATE / (RATE // 300 + again.argmax()) == pytest.approx(pitch, rel=0.06)


def test_a_resonance_is_where_it_should_be():
    made = np.abs(resonance(np.array([1500.0]), np.array([100.0])))[0]
    assert made[0] == pytest.approx(1, abs=1e-4) and made.argmax() * RATE / 640 == pytest.approx(1500, abs=25)


def test_speakers_differ():
    born = [Speaker.born(np.random.default_rng(i)) for i in range(200)]
    pitches, tracts = ([getattr(one, name) for one in born] for name in ("pitch", "tract"))
    assert 85 < min(pitches) < 100 and 210 < max(pitches) < 235
    assert np.corrcoef(pitches, tracts)[0, 1] > 0.7


@pytest.mark.parametrize(
    "heard, errors", [("a b c", 0), ("a c", 1), ("a x c", 1), ("a b b c", 1), ("", 3), ("c b a", 2)]
)
def test_word_errors(heard, errors):
    assert word_errors("a b c".split(), heard.split()) == errors


def test_somebody_else_understands_it():
    """PocketSphinx hears random voices say random sentences: at most two words in a hundred are wrong."""
    pytest.importorskip("pocketsphinx")
    from workshop.scoring.listener import Listener

    listener, pairs = Listener(), []
    for i in range(40):
        one = item("test", i)
        text = one.question if i % 2 else one.answer
        pairs.append((text.split(), listener(spoken((9, i), text).audio)))
    assert word_error_rate(pairs) <= 0.02
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    assert word_errors(TEXT.split(), listener(noise)) > 3  # it does not know what to expect
