"""Sound files: WAV, FLAC, OGG and MP3 read, the first three written; whole, or not at all."""

import io
import os
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from helpers.audio.signal import as_batch, checked, positive
from helpers.support.errors import InputError
from helpers.support.files import written_whole
from helpers.support.libraries import library

FILE_FORMATS = {".wav": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_24"), ".ogg": ("OGG", "VORBIS")}
PIECE_FRAMES = 65536  # at once to and from a file; minutes of it crash libsndfile's Vorbis encoder
BYTES_A_SAMPLE, LARGEST_WAV = 3, 2**32 - 2**16  # a WAV counts its bytes in 32 bits
LARGEST_PIPE = 1 << 30  # bytes
WRITER_SECONDS, WRITER_TRIES = 3, 30  # until somebody must have opened a named pipe to write
LARGEST_SOUND = 1 << 30  # samples of all channels, six hours of one: a FLAC of a megabyte may claim days
VORBIS_HIGHEST_RATE = 200_000  # Hz; above it libsndfile crashes instead of refusing


def load(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Read an audio file: ((channels, N) float32, sample rate in hertz).

    Raises InputError when `path` is missing, a directory, not audio, empty, or holds NaN or infinity.
    """
    soundfile = library("soundfile")
    try:
        with _seekable(path) as stream, soundfile.SoundFile(stream) as file:
            pieces = [file.read(PIECE_FRAMES, dtype="float32", always_2d=True)]
            while len(pieces[-1]):  # until the samples end: a damaged header may promise any number
                pieces.append(file.read(PIECE_FRAMES, dtype="float32", always_2d=True))
                if len(pieces) * PIECE_FRAMES * file.channels > LARGEST_SOUND:
                    raise InputError(f"{path} is too long to be held in memory; cut it first.")
            sample_rate = file.samplerate
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path.") from error
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a .raw file, which has no header
        if isinstance(stream, _Watched) and stream.failure is not None:
            raise InputError(f"cannot read {path}: {stream.failure.strerror}; copy it anew.") from error
        raise InputError(
            f"{path} cannot be read as audio: damaged, or not a sound file; give a WAV, FLAC, "
            "OGG or MP3 file."
        ) from error
    try:
        return np.ascontiguousarray(checked(np.concatenate(pieces).T)), sample_rate
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _seekable(path: str | os.PathLike) -> BinaryIO:
    """A sound file to read in; what comes through a pipe is kept in memory, for headers are read twice."""
    if Path(path).is_fifo():
        first, stream = _opened_pipe(path)
    else:
        first, stream = b"", _Watched(path, "rb")
        if stream.seekable():
            return stream
    with io.BufferedReader(stream) as pipe:
        content = first + pipe.read(LARGEST_PIPE + 1 - len(first))
    if len(content) > LARGEST_PIPE:
        raise InputError(f"{path} gives more than {LARGEST_PIPE >> 20} MB; save it to a file first.")
    return io.BytesIO(content)


def _opened_pipe(path: str | os.PathLike) -> tuple[bytes, io.FileIO]:
    """What comes first through a named pipe, and the rest to be read. Raises InputError if nobody writes.

    Opened as usual, a pipe waits for ever for somebody who writes.
    """
    pipe = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    for _ in range(WRITER_TRIES):
        first = pipe.read(PIECE_FRAMES)  # b"": nobody writes; None: somebody will
        if first != b"":
            os.set_blocking(pipe.fileno(), True)
            return first or b"", pipe
        time.sleep(WRITER_SECONDS / WRITER_TRIES)
    pipe.close()
    raise InputError(f"nobody writes into the pipe {path}; name a file.")


def check_suffix(path: str | os.PathLike) -> None:
    """Raise InputError if `save` could not tell the format from the name: better before the work."""
    if Path(path).suffix.lower() not in FILE_FORMATS:
        raise InputError(
            f"cannot tell the audio format of {path}; end its name with one of {', '.join(FILE_FORMATS)}."
        )


def save(path: str | os.PathLike, audio: np.ndarray, sample_rate: int) -> None:
    """Write audio (N,), (channels, N) or (1, channels, N), whole or not at all; the suffix picks the format.

    WAV and FLAC are 24-bit PCM, OGG is Vorbis. Samples beyond full scale are clipped, never wrapped.
    Raises InputError for another suffix, more than one item, or a file that cannot be written.
    """
    save_stream(path, [audio], sample_rate)


def save_stream(path: str | os.PathLike, pieces: Iterable[np.ndarray], sample_rate: int) -> None:
    """Write audio that comes piece after piece, each shaped as for `save`; no more than one is kept."""
    path, sample_rate = Path(path), positive("sample rate", sample_rate)
    check_suffix(path)
    kind, subtype = FILE_FORMATS[path.suffix.lower()]
    if subtype == "VORBIS" and sample_rate > VORBIS_HIGHEST_RATE:
        raise InputError(
            f"OGG holds rates up to {VORBIS_HIGHEST_RATE} Hz, not {sample_rate}; write WAV or FLAC."
        )
    pieces = map(_one_item, pieces)
    first = next(pieces, None)
    if first is None:
        raise InputError(f"audio is empty: there is nothing to write to {path}.")
    soundfile, channels = library("soundfile"), first.shape[1]
    with written_whole(path) as temporary, _Watched(temporary, "wb") as target:
        try:
            with soundfile.SoundFile(target, "w", sample_rate, channels, subtype, format=kind) as file:
                for samples in (piece[0].T for piece in chain([first], pieces)):
                    for start in range(0, len(samples), PIECE_FRAMES):
                        file.write(samples[start : start + PIECE_FRAMES].clip(-1, 1))
                        if kind == "WAV" and file.tell() * channels * BYTES_A_SAMPLE > LARGEST_WAV:
                            raise InputError(f"{path} would be over 4 GB, which no WAV can say; write FLAC.")
        except (soundfile.SoundFileError, AssertionError) as error:  # the latter for a piece cut short
            if target.failure is None:
                raise InputError(
                    f"{path.suffix} cannot hold {channels} channels at {sample_rate} Hz; write a .wav "
                    "file, or change the rate or the channels."
                ) from error
        if target.failure is not None:
            raise target.failure


def _one_item(audio: np.ndarray) -> np.ndarray:
    """Audio as (1, channels, N). Raises InputError for more than one item."""
    batch = as_batch(audio)
    if len(batch) > 1:
        raise InputError(f"audio is a batch of {len(batch)}; write one item to a file.")
    return batch


class _Watched(io.FileIO):
    """A file that remembers why it could not be read or written: libsndfile says nothing of a full disk."""

    failure: OSError | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where it stands then; where it stood if there is no such place, as in a device."""
        try:
            return super().seek(offset, whence)
        except OSError as error:
            self.failure = error
            return self.tell()

    def readinto(self, buffer: memoryview) -> int:
        """What was read into `buffer`; nothing where it could not be."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0

    def write(self, data: bytes) -> int:
        """All of `data`; what is missing at the end of the count was not written."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return len(data) - len(rest)
