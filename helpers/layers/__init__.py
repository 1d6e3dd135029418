"""Building blocks written to be read and to be exported: one class each, none knows which model it serves.

Two habits keep a layer exportable. Lengths stay symbolic: a shape is read from the input with `x.shape`
and never stored in a Python attribute, so no example's length is frozen into the graph. And each layer
calls the PyTorch function for which ONNX has an operator of its own (`Attention` and `RMSNormalization`
from opset 23, `Gelu` from opset 20), so that the graph reads like the code. Where PyTorch's exporter would
guard a length (reflected edges), the layer says the same with other operators.
"""

from helpers.layers.attention import (
    NEVER,
    MultiHeadAttention,
    RelativeAttention,
    RelativePositionBias,
    Sinusoids,
    Stretch,
    attend,
    beyond,
    causal,
)
from helpers.layers.convolution import SameConv1d, SameConvTranspose1d, Snake, extend
from helpers.layers.grouped import Block, Decoder, Rotary
from helpers.layers.quantizers import EuclideanRVQ, ResidualVQ, VectorQuantizer
from helpers.layers.recurrent import ResidualLSTM, State
from helpers.layers.transformer import CodebookEmbedding, FeedForward, FiLM, GatedGELU, RMSNorm

__all__ = [
    "NEVER",
    "Block",
    "CodebookEmbedding",
    "Decoder",
    "EuclideanRVQ",
    "FeedForward",
    "FiLM",
    "GatedGELU",
    "MultiHeadAttention",
    "RMSNorm",
    "RelativeAttention",
    "RelativePositionBias",
    "ResidualLSTM",
    "ResidualVQ",
    "Rotary",
    "SameConv1d",
    "SameConvTranspose1d",
    "Sinusoids",
    "Snake",
    "State",
    "Stretch",
    "VectorQuantizer",
    "attend",
    "beyond",
    "causal",
    "extend",
]
