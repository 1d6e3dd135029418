"""Write an ONNX file tensor by tensor: a model of 1.3 GB is never held a second time.

An ONNX file is a protocol-buffer message (protobuf.dev, "Encoding"), and protobuf builds a message in memory
before it writes one: twice the weights, beside those of the model itself. Here the message without its
large weights is built so; the weights go into the file one after the other, each behind the few bytes that
announce it.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import onnx
import onnx_ir as ir

LARGE = 1 << 20  # bytes of a tensor that is written by itself
GRAPH_OF_MODEL = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
TENSOR_OF_GRAPH = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
BYTES_OF_TENSOR = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
LENGTH_DELIMITED = 2  # protobuf's wire type for messages and bytes


def write(model: ir.Model, path: str | os.PathLike) -> None:
    """Check the model with onnx's checker and write it, weights included, to one file."""
    large = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value.nbytes >= LARGE
    }
    without = _proto_without(model, large)
    onnx.checker.check_model(_with_inputs_for(large, without))
    graph = without.graph.SerializeToString()
    without.ClearField("graph")
    tensors = {name: _announcement(name, tensor) for name, tensor in large.items()}
    length = len(graph) + sum(len(head) + large[name].nbytes for name, head in tensors.items())
    with open(path, "wb") as file:
        file.write(without.SerializeToString())
        file.write(_field(GRAPH_OF_MODEL, length) + graph)
        for name, head in tensors.items():
            file.write(head)
            _write_numbers(large[name], file)


def _proto_without(model: ir.Model, large: dict[str, ir.TensorProtocol]) -> onnx.ModelProto:
    """The model as protobuf has it, without these of its weights."""
    values = [model.graph.initializers[name] for name in large]
    try:
        for value in values:
            value.const_value = ir.tensor(np.zeros(0, np.float32), name=value.name)
        proto = ir.to_proto(model)
    finally:
        for value in values:
            value.const_value = large[value.name]
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in large]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto


def _with_inputs_for(large: dict[str, ir.TensorProtocol], without: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that has inputs in place of the weights it lacks: what a checker can read."""
    copy = onnx.ModelProto()
    copy.CopyFrom(without)
    for name, tensor in large.items():
        shape = [int(size) for size in tensor.shape]
        copy.graph.input.append(onnx.helper.make_tensor_value_info(name, int(tensor.dtype), shape))
    return copy


def _announcement(name: str, tensor: ir.TensorProtocol) -> bytes:
    """All that comes before a tensor's numbers: that a weight of the graph follows, its name, type, shape."""
    described = onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=list(tensor.shape))
    head = described.SerializeToString() + _field(BYTES_OF_TENSOR, tensor.nbytes)
    return _field(TENSOR_OF_GRAPH, len(head) + tensor.nbytes) + head


def _field(number: int, length: int) -> bytes:
    """The bytes before a field that has a length: which field it is, and how long."""
    return bytes(_varint(number << 3 | LENGTH_DELIMITED)) + bytes(_varint(length))


def _varint(number: int) -> Iterator[int]:
    """A whole number in sevens of bits, the lowest first; the eighth bit says that more follow."""
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _write_numbers(tensor: ir.TensorProtocol, file: BinaryIO) -> None:
    values = np.ascontiguousarray(tensor.numpy())
    file.write(memoryview(values.view(np.uint8).reshape(-1)))
