"""Make both models of notebook 08, and the arrays that their program computes for the notebook's clips.

    python -m workshop train follower            (writes models/follower; some minutes)

The follower learns from tones made of sines; then its weights are frozen, and a low-rank pair learns from the
course's composed music for solo winds and strings (this needs FluidSynth, see data/clips/README.md). The
tapper learns from both.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.music.clips import CLIPS, start_of
from data.music.performance import perform
from helpers import audio
from helpers.support import commands
from helpers.support.commands import Parser
from helpers.support.files import ROOT, write_json, written_whole
from workshop.follower.originals import FRAMES, TAP_FRAMES, Follower, Tapper
from workshop.follower.tones import LOWEST, N_PITCHES, RATE, STYLES, Heard, heard, melody, piece

OUT = ROOT / "models" / "follower"
N_MELODIES, N_PIECES, SECONDS = 400, 16, 10.0
STEPS = {"follower": 1500, "pair": 500, "tapper": 1500}
HEARD = ("oboe", "cello")  # clips with one voice, whose notes are known
TAPPED = ("marimba", "guitar")  # clips that the tapper's arrays are recorded from


def segments(
    rng: np.random.Generator, music: list[Heard], n_frames: int, steps: int
) -> Iterator[list[Tensor]]:
    """Batches of 24 random stretches: mel, bands, note, begins."""
    for _ in range(steps):
        batch = []
        for i in rng.integers(len(music), size=24):
            start = rng.integers(len(music[i].mel) - n_frames)
            batch.append([array[start : start + n_frames] for array in music[i]])
        yield [torch.from_numpy(np.stack(arrays)) for arrays in zip(*batch)]


def follower_loss(model: Follower, mel: Tensor, bands: Tensor, note: Tensor, begins: Tensor) -> Tensor:
    pitch, voicing = model(mel)
    known = (note >= LOWEST) & (note < LOWEST + N_PITCHES)
    return F.cross_entropy(pitch[known], note[known] - LOWEST) + F.binary_cross_entropy_with_logits(
        voicing, (note > 0).float()
    )


def tapper_loss(model: Tapper, mel: Tensor, bands: Tensor, note: Tensor, begins: Tensor) -> Tensor:
    found, sounding = model(bands.transpose(0, 1))
    return F.binary_cross_entropy_with_logits(
        found, begins.T, pos_weight=torch.tensor(3.0)
    ) + F.binary_cross_entropy_with_logits(sounding, (note > 0).float().T)


def train(
    model: nn.Module, learned: list[nn.Parameter], loss: Callable, batches: Iterator[list[Tensor]],
    steps: int, rate: float,
) -> None:  # fmt: skip
    """Adam, the rate falling to zero along half a cosine."""
    optimizer = torch.optim.Adam(learned, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step, batch in enumerate(batches, 1):
        value = loss(model, *batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"  step {step}: loss {value.item():.3f}", flush=True)


def frames(name: str, notes: Sequence[tuple[float, float, int]] = ()) -> Heard:
    """A clip of the course, with its notes where they are known."""
    sound, rate = audio.load(ROOT / "data" / "clips" / f"{name}.flac")
    return heard(audio.resample(sound[0], rate, RATE), notes)


def known_clip(name: str) -> Heard:
    """A clip of the course with the notes that it was made from."""
    clip = next(clip for clip in CLIPS if clip.name == name)
    notes = [
        (note.start - start_of(clip), note.end - start_of(clip), note.pitch)
        for note in perform(clip.piece, "melody")
    ]
    return frames(name, [(max(0, start), end, pitch) for start, end, pitch in notes if end > 0])


def in_pieces(mel: np.ndarray, model: Follower) -> tuple[np.ndarray, np.ndarray]:
    """The follower on any length, the way its program does it: pieces of FRAMES, the last one filled up."""
    n = -(-len(mel) // FRAMES) * FRAMES
    filled = np.pad(mel, [(0, n - len(mel)), (0, 0)], mode="edge").reshape(-1, FRAMES, mel.shape[-1])
    with torch.inference_mode():
        pitch, voicing = model(torch.from_numpy(filled))
    return pitch.flatten(0, 1).numpy()[: len(mel)], voicing.flatten().numpy()[: len(mel)]


def scores(model: Follower, clip: Heard) -> dict[str, float]:
    """Shares of frames: the right note where one in range sounds, and right about whether one sounds."""
    pitch, voicing = in_pieces(clip.mel, model)
    known = (clip.note >= LOWEST) & (clip.note < LOWEST + N_PITCHES)
    right = pitch.argmax(-1)[known] + LOWEST == clip.note[known]
    return {"pitch": float(right.mean()), "voicing": float(((voicing > 0) == (clip.note > 0)).mean())}


def tap_scores(model: Tapper, clip: Heard) -> dict[str, float]:
    """Of the notes that begin, the share with a tap near; of the taps, the share near such a note."""
    n = len(clip.bands) // TAP_FRAMES * TAP_FRAMES
    with torch.inference_mode():
        begins, _ = model(torch.from_numpy(clip.bands[:n]).unflatten(0, (-1, TAP_FRAMES)).transpose(0, 1))
    begins = begins.T.flatten().numpy()
    before, after = np.roll(begins, 1), np.roll(begins, -1)
    taps = np.flatnonzero((begins > 0) & (begins > before) & (begins >= after))
    notes = np.flatnonzero(np.diff(clip.begins[:n], prepend=0) > 0)
    near = np.abs(taps[:, None] - notes) <= 3
    return {"found": float(near.any(0).mean()), "right": float(near.any(1).mean())}


def save(name: str, model: nn.Module, example: Tensor) -> None:
    """The checkpoint, weights rounded to 16 bits, and what the rounded model makes of an example.

    Tables stay as they are: rounded, they would be a little off the rule that they follow.
    """
    model.eval().requires_grad_(False)
    learned = dict(model.named_parameters())
    state = {key: tensor.half() if key in learned else tensor for key, tensor in model.state_dict().items()}
    model.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    with written_whole(OUT / f"{name}.pth") as temporary:
        torch.save({"state_dict": state, "metadata": model.metadata()}, temporary)
    with written_whole(OUT / f"{name}.npz") as temporary:
        np.savez_compressed(temporary, input=example.numpy(), **model.steps(example))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = Parser(
        prog="python -m workshop train follower", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run=make)
    return commands.main(parser, arguments)


def make(_: argparse.Namespace) -> None:
    """Train both, write models/follower."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    print("composing")
    tones = [melody(rng, SECONDS) for _ in range(N_MELODIES)]
    pieces = [piece(8, "train", i, style) for style in STYLES for i in range(N_PIECES // len(STYLES))]
    clips = {name: known_clip(name) for name in HEARD}
    levels = np.concatenate([one.mel for one in tones])
    follower = Follower(round(float(levels.mean()), 3), round(float(levels.std()), 3))
    pair = [follower.mixer.mlp[1].lora_A, follower.mixer.mlp[1].lora_B]
    base = [weight for weight in follower.parameters() if all(weight is not one for one in pair)]
    print("the follower")
    steps = STEPS["follower"]
    train(follower, base, follower_loss, segments(rng, tones, FRAMES, steps), steps, 3e-3)
    results = {"without the pair": {name: scores(follower, clip) for name, clip in clips.items()}}
    print(results)
    print("its low-rank pair")
    steps = STEPS["pair"]
    train(follower, pair, follower_loss, segments(rng, pieces, FRAMES, steps), steps, 3e-3)
    save("follower", follower, torch.from_numpy(clips["oboe"].mel[None, :FRAMES]))
    results["with it"] = {name: scores(follower, clip) for name, clip in clips.items()}
    print(results)
    print("the tapper")
    tapper = Tapper(torch.from_numpy(np.concatenate([one.bands for one in tones]).mean(0)))
    steps = STEPS["tapper"]
    batches = segments(rng, tones + pieces, TAP_FRAMES, steps)
    train(tapper, list(tapper.parameters()), tapper_loss, batches, steps, 1e-2)
    results["tapper"] = {name: tap_scores(tapper, clip) for name, clip in clips.items()}
    two = np.stack([frames(name).bands[:TAP_FRAMES] for name in TAPPED], axis=1)
    save("tapper", tapper, torch.from_numpy(two))
    write_json(OUT / "scores.json", results)
