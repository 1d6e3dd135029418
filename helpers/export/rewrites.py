"""What is changed in a graph after PyTorch's exporter made it: weights, heads, opset 17, names."""

import ast
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

REDUCTIONS_CHANGED_IN_18 = tuple(
    f"Reduce{kind}" for kind in ("Mean", "Max", "Min", "L1", "L2", "Prod", "SumSquare")
)


def transpose_weights(model: ir.Model) -> None:
    """Store each linear layer's weight the way MatMul reads it, under the name it has in the module.

    PyTorch keeps (out, in) and transposes at every call. The exporter's own folding would give the
    transposed copy a number for a name.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type != "Transpose" or node.attributes["perm"].as_ints() != (1, 0):
            continue
        weight = node.inputs[0]
        if weight.name not in graph.initializers or len(weight.uses()) != 1:
            continue
        turned = weight.const_value.numpy().T  # a view: a 1.3 GB model is not held twice
        name, output = weight.name, node.outputs[0]
        value = ir.Tensor(turned, name=name)
        stored = ir.Value(name=name, shape=ir.Shape(turned.shape), type=weight.type, const_value=value)
        output.replace_all_uses_with(stored)
        graph.remove(node, safe=True)
        del graph.initializers[name]
        graph.register_initializer(stored)


def merge_heads(model: ir.Model) -> None:
    """Let each Attention operator split the heads itself: it needs no Transpose before and none after it.

    It reads (B, T, heads * size) as well as (B, heads, T, size), if it is told how many heads there are.
    """
    for node in [node for node in model.graph if node.op_type == "Attention"]:
        splits = [value.producer() for value in node.inputs[:3]]
        (merge,) = node.outputs[0].consumers()
        if not all(_swaps_time_and_heads(one) for one in (*splits, merge)):
            continue
        heads = [ir.AttrInt64(f"{kind}_num_heads", value.shape[1])
                 for kind, value in zip(("q", "kv"), node.inputs)]  # fmt: skip
        node.attributes.update({attribute.name: attribute for attribute in heads})
        for index, split in enumerate(splits):
            node.replace_input_with(index, split.inputs[0].producer().inputs[0])  # what Reshape had split
        (flat,) = merge.outputs[0].consumers()
        node.outputs[0].shape = flat.outputs[0].shape
        flat.outputs[0].replace_all_uses_with(node.outputs[0])
    RemoveUnusedNodesPass()(model)


def _swaps_time_and_heads(node: ir.Node | None) -> bool:
    return (
        node is not None and node.op_type == "Transpose" and node.attributes["perm"].as_ints() == (0, 2, 1, 3)
    )


def make_optional(
    model: ir.Model, defaults: Mapping[str, np.ndarray], axes: Mapping[str, Mapping[int, str]]
) -> None:
    """Give inputs a default: an initializer of an input's name is what it holds where nobody feeds it.

    A default has 1 along the axis named "batch"; there it is repeated as often as the first input has items.
    """
    graph = model.graph
    for name, default in defaults.items():
        value = next(one for one in graph.inputs if one.name == name)
        batch = next((axis for axis, called in axes[name].items() if called == "batch"), None)
        if batch is not None:
            _repeat(graph, value, [1 if i == batch or i in axes[name] else n
                                   for i, n in enumerate(default.shape)], batch)  # fmt: skip
            value.shape = ir.Shape([f"{name}_{one}" if one == "batch" else one for one in value.shape])
        value.const_value = ir.tensor(default, name=name)
        graph.register_initializer(value)


def _repeat(graph: ir.Graph, value: ir.Value, sizes: list[int], axis: int) -> None:
    """Put an Expand behind an input: to these sizes, and along `axis` to the first input's."""
    n_items = ir.node("Shape", [graph.inputs[0]], {"start": 0, "end": 1})
    ends = [
        ir.node("Constant", [], {"value": ir.tensor(np.array(part, np.int64))})
        for part in (sizes[:axis], sizes[axis + 1 :])
    ]
    shape = ir.node("Concat", [ends[0].outputs[0], n_items.outputs[0], ends[1].outputs[0]], {"axis": 0})
    expand = ir.node("Expand", [value, shape.outputs[0]])
    value.replace_all_uses_with(expand.outputs[0])
    expand.replace_input_with(0, value)
    expand.outputs[0].type = value.type
    for i, node in enumerate((n_items, *ends, shape, expand)):
        graph.insert_before(graph[i], node)


def lower_to_opset_17(model: ir.Model) -> None:
    """Rewrite the two kinds of operator whose form changed in opset 18."""
    for node in model.graph:
        if node.op_type == "Split":
            node.attributes.pop("num_outputs", None)  # without it: as many equal parts as there are outputs
        elif node.op_type in REDUCTIONS_CHANGED_IN_18 and len(node.inputs) > 1:
            axes = node.inputs[1].const_value.numpy().tolist()
            node.attributes["axes"] = ir.AttrInt64s("axes", axes)
            node.attributes.pop("noop_with_empty_axes", None)
            node.resize_inputs(1)
    model.graph.opset_imports[""] = 17
    RemoveUnusedNodesPass()(model)  # the axes that are attributes now


def name_nodes(model: ir.Model) -> None:
    """Name each node after its module, as in `layers.0.self_attn/MatMul_12`; drop the exporter's own notes.

    Those notes hold stack traces: the paths of somebody's machine have no place in a file that travels.
    """
    nodes, following = list(model.graph), ""
    for index, node in reversed(list(enumerate(nodes))):
        scope = _module_of(node)
        if scope is not None:  # a node the optimizer made belongs to what comes next
            following = scope
        node.name = f"{following}/{node.op_type}_{index}".lstrip("/")
        node.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()


def _module_of(node: ir.Node) -> str | None:
    """The path of the module whose code made the node; empty for the model itself, None if unknown."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    if scopes is None:
        return None
    *_, module, _ = ["", *ast.literal_eval(scopes)]
    return "" if module.startswith("_empty") else module  # how torch.export marks code outside any module
