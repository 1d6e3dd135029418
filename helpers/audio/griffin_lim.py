"""Sound from magnitudes alone: phases are guessed, and made to agree (Griffin and Lim 1984)."""

import numpy as np

ROUNDS, MEL_ROUNDS = 32, 60
TINY = 1e-9


def griffin_lim(magnitudes: np.ndarray, hop: int, rounds: int = ROUNDS, seed: int = 0) -> np.ndarray:
    """Magnitudes (n_fft / 2 + 1, T) of a Hann window, T = N // hop + 1 -> sound ((T - 1) * hop,) float32.

    Neighbouring spectra share samples, so most phases contradict one another. Each round makes a sound of
    them and takes that sound's own.
    """
    n_fft = 2 * (len(magnitudes) - 1)
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).random(magnitudes.shape))
    for _ in range(rounds):
        made = spectra(overlapped(magnitudes * phases, hop), n_fft, hop)
        phases = made / np.maximum(np.abs(made), TINY)
    return overlapped(magnitudes * phases, hop).astype(np.float32)


def from_mel(power: np.ndarray, bands: np.ndarray, rounds: int = MEL_ROUNDS) -> np.ndarray:
    """Power in mel bands (n_mels, T) -> magnitudes (n_fft / 2 + 1, T) that give these, none below zero.

    bands: (n_fft / 2 + 1, n_mels). By factors that stay positive (Lee and Seung 2001).
    """
    found = bands @ power / np.maximum(bands.sum(1, keepdims=True), TINY)
    wanted = bands @ power
    for _ in range(rounds):
        found = found * wanted / np.maximum(bands @ (bands.T @ found), TINY)
    return np.sqrt(found)


def window(n_fft: int) -> np.ndarray:
    """Hann's, periodic."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def spectra(audio: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Sound (N,) mirrored by half a window at both ends -> (n_fft / 2 + 1, N // hop + 1) complex."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, n_fft // 2, mode="reflect"), n_fft)
    return np.fft.rfft(frames[::hop] * window(n_fft)).T


def overlapped(lines: np.ndarray, hop: int) -> np.ndarray:
    """The sound whose spectra are nearest to these (n_fft / 2 + 1, T): ((T - 1) * hop,)."""
    n_fft, n_frames = 2 * (len(lines) - 1), lines.shape[1]
    parts = np.fft.irfft(lines.T, n_fft) * window(n_fft)
    made, weight = np.zeros((2, n_fft + (n_frames - 1) * hop))
    for i, part in enumerate(parts):
        made[i * hop : i * hop + n_fft] += part
        weight[i * hop : i * hop + n_fft] += window(n_fft) ** 2
    inside = slice(n_fft // 2, n_fft // 2 + (n_frames - 1) * hop)
    return made[inside] / np.maximum(weight[inside], TINY)
