"""Graphs written by hand: nodes one after the other, loops and branches among them, other graphs put inside.

The methods are named after what they add, those in lower case after what becomes of it. What goes in are
values of the graph, or numbers and arrays, which become constants.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

Operand = ir.Value | np.ndarray | np.generic | Sequence[int] | None


class Nodes:
    """Nodes of one graph, or of the body of a loop or branch in it: `nodes.Add(a, b)` adds one.

    A sequence of whole numbers counts as int64. Bodies see what is outside of them, so names are given once
    for all.
    """

    def __init__(self, outside: "Nodes | None" = None):
        self.list: list[ir.Node] = []
        self.numbers: Iterator[int] = outside.numbers if outside else itertools.count()
        self.weights: list[ir.Value] = []
        self.opsets: dict[str, int] = outside.opsets if outside else {}

    def __getattr__(self, operator: str) -> Callable[..., ir.Value]:
        if not operator[0].isupper():
            raise AttributeError(operator)
        return partial(self._add, operator)

    def _add(
        self, operator: str, *inputs: Operand, n_outputs: int = 1, **attributes: object
    ) -> ir.Value | tuple[ir.Value, ...]:
        node = ir.node(operator, [self._value(one) for one in inputs], attributes, num_outputs=n_outputs)
        return self._appended(node)

    def _appended(self, node: ir.Node) -> ir.Value | tuple[ir.Value, ...]:
        number = next(self.numbers)
        node.name = f"{node.op_type}_{number}"
        for i, output in enumerate(node.outputs):
            output.name = f"{node.name}.{i}"
        self.list.append(node)
        return node.outputs[0] if len(node.outputs) == 1 else tuple(node.outputs)

    def _value(self, operand: Operand) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        array = np.asarray(operand, None if isinstance(operand, np.ndarray | np.generic) else np.int64)
        return self._appended(ir.node("Constant", [], {"value": ir.tensor(array)}))

    def cast(self, x: Operand, kind: ir.DataType) -> ir.Value:
        """x in another type."""
        return self.Cast(x, to=int(kind))

    def size(self, x: ir.Value, axis: int) -> ir.Value:
        """How long x is along an axis, int64 (1,)."""
        return self.Shape(x, start=axis, end=axis + 1)

    def slice(self, x: ir.Value, begin: Operand, end: Operand, axis: int) -> ir.Value:
        """x from `begin` to `end`, both (1,), along an axis."""
        return self.Slice(x, begin, end, [axis])

    def loop(
        self, n_times: Operand, carried: ir.Value, body: Callable[["Nodes", ir.Value, ir.Value], ir.Value],
        kind: ir.DataType, shape: Sequence[int | str],
    ) -> ir.Value:  # fmt: skip
        """Carry a value through a body so many times: it gets nodes, the round int64 (), and the value."""
        inside, number = Nodes(self), next(self.numbers)
        step = _input(f"loop_{number}.round", ir.DataType.INT64, ())
        going = _input(f"loop_{number}.going", ir.DataType.BOOL, ())
        value = _input(f"loop_{number}.carried", kind, shape)
        outcome = body(inside, step, value)
        graph = inside.graph(f"loop_{number}", [step, going, value], [inside.Identity(going), outcome])
        return self._add("Loop", n_times, np.array(True), carried, body=graph)

    def branch(
        self, condition: ir.Value, yes: Callable[["Nodes"], ir.Value], no: Callable[["Nodes"], ir.Value]
    ) -> ir.Value:
        """What one of two bodies gives, each from the nodes that it is given."""
        bodies = {}
        for name, body in (("then_branch", yes), ("else_branch", no)):
            inside = Nodes(self)
            outcome = body(inside)
            bodies[name] = inside.graph(f"{name}_{next(self.numbers)}", [], [outcome])
        return self._add("If", condition, **bodies)

    def graph(self, name: str, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Graph:
        """All nodes so far as a graph."""
        return ir.Graph(inputs, outputs, nodes=self.list, initializers=self.weights, name=name)

    def inlined(self, model: ir.Model, called: str, *inputs: ir.Value) -> ir.Value:
        """The output of a model, whose nodes come here, under names that begin with `called`; it is used up.

        Its weights come along. ONNX Runtime fuses nodes with weights of their own graph alone, so that a body
        that has them rounds as the model alone does; with weights from outside, near ties fell otherwise.
        """
        graph = model.graph
        for kind, version in model.opset_imports.items():
            if self.opsets.setdefault(kind, version) != version:
                raise ValueError(f"{called} is in opset {version}, what was there in {self.opsets[kind]}")
        for given, value in zip(graph.inputs, inputs, strict=True):
            given.replace_all_uses_with(value)
        nodes, weights, [output] = list(graph), list(graph.initializers.values()), graph.outputs
        graph.outputs.clear()
        graph.initializers.clear()
        for value in itertools.chain(weights, *(node.outputs for node in nodes)):
            value.name = f"{called}/{value.name}"
        self.weights.extend(weights)
        graph.remove(nodes)
        for node in nodes:
            node.name = f"{called}/{node.name}"
        self.list.extend(nodes)
        return output


def _input(name: str, kind: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
