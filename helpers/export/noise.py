"""The noise of `runtime.counter` as nodes of a graph: the same numbers, bit for bit."""

import numpy as np
import onnx_ir as ir

from helpers.export.nodes import Nodes, Operand
from helpers.runtime.counter import FIRST, N_BITS, ROUNDS, SECOND

UINT32, INT32, UINT64 = ir.DataType.UINT32, ir.DataType.INT32, ir.DataType.UINT64
LEAST_UNIFORM = 2.0**-25  # as in `sampling.gumbel`


def stream(nodes: Nodes, seed: ir.Value, *keys: ir.Value) -> ir.Value:
    """The first key of a stream, uint32 (), from the seed and keys, int64 (). `more` adds keys to it."""
    high = nodes.BitShift(nodes.cast(seed, UINT64), np.uint64(32), direction="RIGHT")
    return more(nodes, np.uint32(FIRST), seed, high, *keys)


def more(nodes: Nodes, key: Operand, *keys: ir.Value) -> ir.Value:
    """The first key of the stream that has these keys, whole numbers (), besides those in `key`."""
    for part in keys:
        key = _mixed(nodes, nodes.BitwiseXor(key, nodes.cast(part, UINT32)))
    return key


def gumbel(nodes: Nodes, key: ir.Value, places: ir.Value) -> ir.Value:
    """Gumbel noise, float32, for places of a stream, int32; `key` is its first key."""
    second = _mixed(nodes, nodes.BitwiseXor(key, np.uint32(SECOND)))
    bits = _mixed(nodes, nodes.cast(nodes.Add(places, nodes.cast(key, INT32)), UINT32), second)
    bits = nodes.cast(nodes.BitShift(bits, np.uint32(32 - N_BITS), direction="RIGHT"), ir.DataType.FLOAT)
    uniform = nodes.Max(nodes.Mul(bits, np.float32(2.0**-N_BITS)), np.float32(LEAST_UNIFORM))  # all exact
    uniform = nodes.cast(uniform, ir.DataType.DOUBLE)
    return nodes.Neg(nodes.cast(nodes.Log(nodes.Neg(nodes.Log(uniform))), ir.DataType.FLOAT))


def _mixed(nodes: Nodes, x: ir.Value, key: ir.Value | None = None) -> ir.Value:
    """`counter.mixed`. ONNX Runtime multiplies no uint32; the lower bits of a product are those of int32."""
    shift_1, factor_1, shift_2, factor_2, shift_3 = ROUNDS
    x = _times(nodes, _folded(nodes, x, shift_1), factor_1)
    x = x if key is None else nodes.BitwiseXor(x, key)
    x = _times(nodes, _folded(nodes, x, shift_2), factor_2)
    return _folded(nodes, x, shift_3)


def _folded(nodes: Nodes, x: ir.Value, by: int) -> ir.Value:
    return nodes.BitwiseXor(x, nodes.BitShift(x, np.uint32(by), direction="RIGHT"))


def _times(nodes: Nodes, x: ir.Value, factor: int) -> ir.Value:
    return nodes.cast(nodes.Mul(nodes.cast(x, INT32), np.int32(factor)), UINT32)
