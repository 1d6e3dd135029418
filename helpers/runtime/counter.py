"""Noise by counting: each number is a hash of its own place, so a graph can make it as well as numpy can.

The generator of `sampling` carries a state of 128 bits from number to number, which no ONNX operator does.
Here 32-bit numbers are shifted, multiplied and combined by exclusive or, which ONNX can too (`export.noise`).
The constants are those of a hash with little bias that C. Wellons found by search (github.com/skeeto,
hash-prospector); between its rounds a second key comes in, so that two streams share no stretch.
"""

import numpy as np

ROUNDS = (16, 0x21F0AAAD, 15, 0x735A2D97, 15)  # shift, multiply, shift, multiply, shift
FIRST, SECOND = 0x9E3779B9, 0x85EBCA6B  # where keys begin, and what makes a second of a first; any would do
N_BITS = 24  # of each number: what float32 can tell apart in [0, 1)


def hashed_noise(seed: int, *keys: int, shape: tuple[int, ...]) -> np.ndarray:
    """float32 in [0, 1), always the same for the same seed, keys and shape: as `sampling.uniform_noise`.

    seed: below 2**64. keys, and how many numbers there are: below 2**31.
    """
    first, second = keys_of(seed, *keys)
    places = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32).reshape(shape)
    bits = mixed(places + first, second)
    return (bits >> np.uint32(32 - N_BITS)).astype(np.float32) * np.float32(2.0**-N_BITS)


def keys_of(seed: int, *keys: int) -> tuple[np.uint32, np.uint32]:
    """The two keys of a stream."""
    key = np.full(1, FIRST, np.uint32)
    for part in (seed, seed >> 32, *keys):
        key = mixed(key ^ np.uint32(part & 0xFFFFFFFF))
    return key[0], mixed(key ^ np.uint32(SECOND))[0]


def mixed(x: np.ndarray, key: int = 0) -> np.ndarray:
    """uint32 into uint32, one to one; each bit of the result depends on all of x and of the key."""
    shift_1, factor_1, shift_2, factor_2, shift_3 = map(np.uint32, ROUNDS)
    x = (x ^ (x >> shift_1)) * factor_1
    x = x ^ np.uint32(key)
    x = (x ^ (x >> shift_2)) * factor_2
    return x ^ (x >> shift_3)
