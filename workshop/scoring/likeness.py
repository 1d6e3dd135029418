"""Two sounds beside each other: rhythm, harmony, and what can go wrong in a generated one.

Sounds are (N,) float32; frames are codec frames of `hop` samples. Rhythm and harmony are compared only
where `frames` (T,) is True: elsewhere the tokens were given.
"""

import librosa
import numpy as np

SILENT_DB, HEARD_DB = -60.0, -40.0  # dBFS of a frame
WINDOW = 2048  # samples


def onset_envelope(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """How much begins in each frame, (T',): librosa's spectral flux."""
    return librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=hop)


def chroma(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """The strength of the twelve pitch classes in each frame, (12, T'), at standard tuning."""
    return librosa.feature.chroma_stft(y=audio, sr=sample_rate, hop_length=hop, n_fft=WINDOW, tuning=0.0)


def correlation(one: np.ndarray, other: np.ndarray, frames: np.ndarray) -> float:
    """Pearson's r of two envelopes; 0 where one of them never changes."""
    n = min(len(one), len(other), len(frames))
    one, other = one[:n][frames[:n]], other[:n][frames[:n]]
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def cosine(one: np.ndarray, original: np.ndarray, frames: np.ndarray) -> float:
    """Mean cosine of two chromagrams' columns; 0 for one without any pitch, 0 if no frame is asked for."""
    n = min(one.shape[1], original.shape[1], len(frames))
    one, original = one[:, :n][:, frames[:n]], original[:, :n][:, frames[:n]]
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(original, axis=0)
    cosines = (one * original).sum(0) / np.where(lengths > 0, lengths, 1)
    return float(cosines.mean()) if len(cosines) else 0.0


def frame_levels(audio: np.ndarray, hop: int) -> np.ndarray:
    """The RMS of each frame in dBFS, (N // hop,)."""
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)
    return 10 * np.log10((frames.astype(np.float64) ** 2).mean(1) + 1e-12)


def longest_run(flags: np.ndarray) -> int:
    """The largest number of True in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def dead_air(audio: np.ndarray, original: np.ndarray, hop: int) -> int:
    """The most frames in a row that are silent while the original is heard."""
    n = min(len(audio), len(original)) // hop * hop
    silent = frame_levels(audio[:n], hop) < SILENT_DB
    return longest_run(silent & (frame_levels(original[:n], hop) > HEARD_DB))


def longest_repeat(codes: np.ndarray) -> int:
    """The most frames in a row with the same tokens (C, T) in every codebook; 1 if no two are alike."""
    return 1 + longest_run((codes[:, 1:] == codes[:, :-1]).all(0))


def spectral_change(audio: np.ndarray, sample_rate: int, hop: int) -> float:
    """Mean absolute change of a mel band from frame to frame in dB, silent bands counting as -80 dB.

    A held tone has little of it, noise and busy music much.
    """
    mel = librosa.feature.melspectrogram(y=audio, sr=sample_rate, hop_length=hop, n_mels=40, n_fft=WINDOW)
    return float(np.abs(np.diff(librosa.power_to_db(mel, ref=1.0, amin=1e-8, top_db=None))).mean())


def flatness(audio: np.ndarray, hop: int) -> float:
    """Mean spectral flatness: near 0 for tones, near 1 for noise."""
    return float(librosa.feature.spectral_flatness(y=audio, hop_length=hop, n_fft=WINDOW).mean())


def click(audio: np.ndarray, joints: np.ndarray, reach: int) -> float:
    """The largest jump from sample to sample within `reach` of the joints, over the largest elsewhere."""
    jumps = np.abs(np.diff(audio))
    near = np.zeros(len(jumps), bool)
    for joint in joints:
        near[max(0, joint - reach) : joint + reach] = True
    return float(jumps[near].max(initial=0) / max(jumps[~near].max(initial=0), 1e-9))
