"""ONNX graphs into smaller ones: 8 or 4 bit for matrix products, half precision for what stays float.

onnxruntime.quantization does the work. Added here: layers that are kept in float, weights stored as
float16 and computed with as float32, metadata that survives, and silence. What a graph lost, its
model's room measures.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers.support import files
from helpers.support.errors import InputError

FEWEST = 1024  # numbers; a smaller weight is not worth a node that casts it
LARGEST_HALF = 65504.0
Method = Callable[[Path, Sequence[str]], onnx.ModelProto]


def matrix_products(source: str | os.PathLike, operator: str = "MatMul") -> list[str]:
    """The names of a graph's matrix products with a weight: those that can be quantized.

    operator: another kind of node that multiplies by weights, "Conv" for one.
    """
    graph = onnx.load(source, load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    return [node.name for node in graph.node if node.op_type == operator and node.input[1] in weights]


def dynamic(
    source: Path, products: Sequence[str], weight_type: str = "QInt8", operator: str = "MatMul"
) -> onnx.ModelProto:
    """8-bit weights, a scale for each output; activations become 8 bit at each run, by what they hold then.

    Signed weights: processors multiply unsigned activations by signed weights, the other kinds are slower.
    operator: the kind of node in `products`, "Conv" for one.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    return _through_a_file(
        quantize_dynamic,
        source,
        op_types_to_quantize=[operator],
        nodes_to_quantize=list(products),
        per_channel=True,
        weight_type=QuantType[weight_type],
    )


def static(
    source: Path,
    products: Sequence[str],
    examples: Iterable[np.ndarray | Mapping[str, np.ndarray]],
    operators: Sequence[str] = ("MatMul",),
) -> onnx.ModelProto:
    """8-bit weights and activations, the activations' ranges fixed beforehand by running `examples`.

    examples: inputs of the graph, as in use, by name where it has several. operators: the kinds of node in
    `products`; with an activation, "Conv" and "Relu" say, both become one step.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    return _through_a_file(
        quantize_static,
        source,
        calibration_data_reader=_Reader(source, examples),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(operators),
        nodes_to_quantize=list(products),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


class _Reader:
    """Examples in the form in which onnxruntime asks for them: one dictionary after another, then None."""

    def __init__(self, source: Path, examples: Iterable[np.ndarray | Mapping[str, np.ndarray]]):
        first = onnx.load(source, load_external_data=False).graph.input[0].name
        self.feeds = (one if isinstance(one, Mapping) else {first: one} for one in examples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def block_wise(source: Path, products: Sequence[str], bits: int, block: int) -> onnx.ModelProto:
    """8- or 4-bit weights, a scale for each `block` of them; activations likewise, within the operator.

    The operator is MatMulNBits, of ONNX Runtime's own.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    others = [name for name in matrix_products(source) if name not in products]
    quantizer = MatMulNBitsQuantizer(
        onnx.load(source),
        bits=bits,
        block_size=block,
        is_symmetric=True,
        accuracy_level=4,  # multiply in 8 bit; without it weights are widened to float first
        nodes_to_exclude=others,
    )
    quantizer.process()
    return quantizer.model.model


def unchanged(source: Path, products: Sequence[str]) -> onnx.ModelProto:
    """Nothing but the storage becomes smaller."""
    return onnx.load(source)


METHODS: dict[str, Method] = {
    "fp16": unchanged,
    "int8": dynamic,
    "int8-block": partial(block_wise, bits=8, block=128),
    "int4": partial(block_wise, bits=4, block=32),
}
PRECISIONS = ("fp32", *METHODS)


def check_precision(precision: str) -> None:
    """Raise InputError for a name that is not one of PRECISIONS."""
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")


def smaller(
    source: str | os.PathLike,
    method: str | Method,
    keep: Sequence[str] = (),
    products: Sequence[str] = (),
    exact: Sequence[str] = (),
) -> onnx.ModelProto:
    """A float32 graph made smaller: matrix products by `method`, the other weights stored as float16.

    method: one of METHODS or its name. products: names of the nodes to quantize (none named: all matrix
    products), without those whose name begins with one of `keep`, which stay float. exact: beginnings of the
    names of weights that are stored as they are.
    """
    source = Path(source)
    chosen = [name for name in products or matrix_products(source) if not name.startswith(tuple(keep))]
    with silence():
        model = METHODS[method](source, chosen) if isinstance(method, str) else method(source, chosen)
    store_as_half(model, exact)
    metadata = {entry.key: entry.value for entry in _metadata(source)}
    if isinstance(method, str):
        metadata["precision"] = method
    del model.graph.value_info[:]  # notes of shape inference
    del model.metadata_props[:]
    helper.set_model_props(model, metadata)
    return model


def write_smaller(
    source: str | os.PathLike,
    target: str | os.PathLike,
    method: str | Method,
    keep: Sequence[str] = (),
    products: Sequence[str] = (),
) -> Path:
    """`smaller`, written to a file."""
    model = smaller(source, method, keep, products)
    with files.written_whole(target) as temporary:
        onnx.save(model, temporary)
    return Path(target)


def store_as_half(model: onnx.ModelProto, exact: Sequence[str] = ()) -> None:
    """Store large float32 weights as float16, each with a Cast back; none whose name begins as in `exact`.

    ONNX Runtime casts once, when it opens the file: it computes as before, with weights that are rounded
    to eleven bits. Vectors (norms, biases, scales) stay as they are, so does what float16 can't hold.
    """
    casts, inputs = [], {value.name for value in model.graph.input}
    for weight in model.graph.initializer:
        if weight.name in inputs or weight.name.startswith(tuple(exact)):  # an input's default is no weight
            continue
        values = numpy_helper.to_array(weight) if weight.data_type == TensorProto.FLOAT else np.zeros(0)
        if values.ndim < 2 or values.size < FEWEST or np.abs(values).max() > LARGEST_HALF:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], f"{name}/Cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep the root logger as it is: onnxruntime.quantization writes to it, and sets it up when imported."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = handlers
        root.setLevel(level)


def _through_a_file(quantize: Callable, source: Path, **options: object) -> onnx.ModelProto:
    """What a function of onnxruntime makes that reads one file and writes another."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        target = Path(folder) / "smaller.onnx"
        quantize(source, target, **options)
        return onnx.load(target)


def _metadata(source: Path) -> list[onnx.StringStringEntryProto]:
    return list(onnx.load(source, load_external_data=False).metadata_props)
