"""Models into ONNX graphs, and four graphs into a bundle that stands alone.

The exporter is PyTorch's dynamo exporter. What is added here: dynamic batch and time under readable
names, weights under the names that the modules give them, nodes named after the module they come from,
provenance in the file's metadata, and opset 17 for runtimes that know nothing newer.
"""

import ast
import contextlib
import copy
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn

from helpers import files, onnx_file
from helpers.codec import Codec
from helpers.errors import InputError
from helpers.quantize import check_precision, limits, smaller
from helpers.runtime import GRAPHS, MANIFEST, STAGES
from helpers.transfer import Models
from helpers.vampnet import KEEP_IN_FLOAT, pipeline_spec

DEFAULT_OPSET = 23  # the first with Attention and RMSNormalization
LOWEST_OPSET, HIGHEST_OPSET = 17, 23
EXPORTER_LOWEST_OPSET = 18  # what the dynamo exporter itself can write
PROTOBUF_LIMIT = 2_000_000_000  # bytes of weights beyond which one file can't hold them
REDUCTIONS_CHANGED_IN_18 = tuple(
    f"Reduce{kind}" for kind in ("Mean", "Max", "Min", "L1", "L2", "Prod", "SumSquare")
)
TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")
# The codec beside transformers of less than float32. Rounding the encoder's weights, even to float16, changed
# a fifth of the tokens: each codebook codes what those before left over. The decoder's error was 65 dB down.
SMALL_CODEC = {"codec_encoder": "fp32", "codec_decoder": "fp16"}


class CodecEncoder(nn.Module):
    """The half of the codec that turns audio (B, 1, N) into codes (B, C, T): encoder and quantizer."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.encoder, self.quantizer = codec.encoder, codec.quantizer

    def forward(self, audio: Tensor) -> Tensor:
        return self.quantizer.encode(self.encoder(audio))


class CodecDecoder(nn.Module):
    """The half of the codec that turns codes (B, C, T) into audio (B, 1, M): codebooks and decoder.

    The decoder sees its frames as an image one pixel high: ONNX Runtime's fastest convolutions are those
    for images. (The encoder gains nothing by it.)
    """

    def __init__(self, codec: Codec):
        super().__init__()
        self.quantizer, self.decoder = codec.quantizer, over_images(codec.decoder)

    def forward(self, codes: Tensor) -> Tensor:
        return self.decoder(self.quantizer.decode(codes)[:, :, None])[:, :, 0]


def over_images(module: nn.Module) -> nn.Module:
    """A module of convolutions over (B, C, N) as one over (B, C, 1, N); weights keep names and memory."""
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
        return _over_images(module)
    other = copy.copy(module)
    other._modules = {name: over_images(part) for name, part in module.named_children()}
    other._parameters = {
        name: nn.Parameter(value[:, :, None], False) for name, value in module.named_parameters(recurse=False)
    }
    return other


def _over_images(conv: nn.Conv1d | nn.ConvTranspose1d) -> nn.Module:
    kind = nn.Conv2d if isinstance(conv, nn.Conv1d) else nn.ConvTranspose2d
    image = kind(
        conv.in_channels, conv.out_channels, (1, *conv.kernel_size), stride=(1, *conv.stride),
        padding=(0, *conv.padding), dilation=(1, *conv.dilation), device="meta",
    )  # fmt: skip
    image.weight, image.bias = nn.Parameter(conv.weight[:, :, None], False), conv.bias
    return image


@dataclass(frozen=True)
class GraphToExport:
    """A module, an example input (batch 2: an example of batch 1 would fix the batch), and the names."""

    module: nn.Module
    example: Tensor
    input_name: str
    output_name: str
    time_axis: str  # what the input's last axis counts
    keep_in_float: tuple[str, ...] = ()  # beginnings of the names of nodes that are not quantized


def graphs_to_export(models: Models) -> dict[str, GraphToExport]:
    """The four graphs of a bundle, by the name of their file."""
    codec = models.codec.config
    audio = torch.zeros(2, 1, 12 * codec.hop)
    graphs = {
        "codec_encoder": GraphToExport(CodecEncoder(models.codec), audio, "audio", "codes", "samples"),
        "codec_decoder": GraphToExport(
            CodecDecoder(models.codec), _codes(codec.n_codebooks), "codes", "audio", "frames"
        ),
    }
    for name, model in (("coarse", models.coarse), ("c2f", models.c2f)):
        codes = _codes(model.config.n_codebooks)
        graphs[name] = GraphToExport(model, codes, "codes", "logits", "frames", KEEP_IN_FLOAT)
    return graphs


def _codes(n_codebooks: int) -> Tensor:
    return torch.zeros(2, n_codebooks, 12, dtype=torch.long)


def check_opset(opset: int) -> None:
    """Raise InputError for an opset that can't be written."""
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise InputError(
            f"opset {opset} is not supported; choose one from {LOWEST_OPSET} to {HIGHEST_OPSET}."
        )


def to_onnx(graph: GraphToExport, opset: int = DEFAULT_OPSET) -> ir.Model:
    """Export one module. Batch and time stay dynamic; the weights are shared, not copied."""
    check_opset(opset)
    with quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            (graph.example,),
            dynamo=True,
            opset_version=max(opset, EXPORTER_LOWEST_OPSET),
            input_names=[graph.input_name],
            output_names=[graph.output_name],
            dynamic_shapes=({0: "batch", 2: graph.time_axis},),
            optimize=False,
            verbose=False,
        )
        transpose_weights(program.model)
        program.optimize()
    model = program.model
    merge_heads(model)
    if opset < EXPORTER_LOWEST_OPSET:
        lower_to_opset_17(model)
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    model.ir_version = min(model.ir_version, needed)  # else an old runtime can't read the file
    name_nodes(model)
    name_dimensions(model, graph)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's notes about packages that are not installed, and about itself, from the reader."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg|torch")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|onnxscript")
            yield
    finally:
        logger.setLevel(level)


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


def name_dimensions(model: ir.Model, graph: GraphToExport) -> None:
    """Name the output's dynamic axes: the first is the batch, another without a fixed size is time."""
    (output,) = model.graph.outputs
    time = "samples" if graph.output_name == "audio" else "frames"
    sizes = [size if isinstance(size, int) else time for size in output.shape]
    output.shape = ir.Shape(["batch", *sizes[1:]])


def save_graph(model: ir.Model, path: Path, metadata: dict[str, str], external_data: bool) -> None:
    """Write an ONNX file; its weights go to `NAME.onnx.data` when asked to, or when too big for one file."""
    model.metadata_props.update(metadata)
    n_bytes = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    model.producer_name, model.producer_version = "audio-models-everywhere", ""
    if external_data or n_bytes > PROTOBUF_LIMIT:
        ir.save(model, path, external_data=f"{path.name}.data")
        onnx.checker.check_model(str(path))
    else:
        onnx_file.write(model, path)


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
) -> Path:
    """Write the four graphs and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with each graph's name before it is exported. `precision` is that of the
    transformers, one of `quantize.PRECISIONS`; with any but fp32 the codec becomes smaller too, where it
    bears it. Raises InputError.
    """
    check_precision(precision)
    out, precisions = Path(out), graph_precisions(precision)
    spec = pipeline_spec(models.codec.config, models.coarse.config, models.c2f.config)
    sources = {f"{name}.pth": checkpoint.sha256() for name, checkpoint in models.sources.items()}
    loras = {name: [overlay.sha256() for overlay in overlays] for name, overlays in models.loras.items()}
    versions = {tool: importlib.metadata.version(tool) for tool in TOOLS}
    with bundle_directory(out) as directory:
        for name, graph in graphs_to_export(models).items():
            on_graph(name)
            metadata = {"graph": name, "precision": "fp32", "tools": json.dumps(versions),
                        "source_sha256": json.dumps(_sources_of(name, sources))}  # fmt: skip
            if loras.get(name):
                metadata["lora_sha256"] = json.dumps(loras[name])
            write_graph(graph, directory / f"{name}.onnx", opset, metadata, external_data, precisions[name])
        manifest = {
            "format": 1,
            "model": "vampnet",
            **asdict(spec),
            "mask_token": spec.mask_token,
            "opset": opset,
            "precision": precisions,
            "limits": {name: limits(name, stored) for name, stored in precisions.items()},
            "sha256": {path.name: files.sha256(path) for path in sorted(directory.iterdir())},
            "source_sha256": sources,
            "lora_sha256": loras,
            "tools": versions,
        }
        files.write_json(directory / MANIFEST, manifest)
    return out


def graph_precisions(precision: str) -> dict[str, str]:
    """The precision of each graph in a bundle whose transformers have this one."""
    codec = dict.fromkeys(SMALL_CODEC, "fp32") if precision == "fp32" else SMALL_CODEC
    return {**codec, **dict.fromkeys(STAGES, precision)}


def write_graph(
    graph: GraphToExport,
    path: Path,
    opset: int,
    metadata: dict[str, str],
    external_data: bool,
    precision: str,
) -> None:
    """Export one module to a file; below float32 by way of a float32 file that does not stay."""
    if precision == "fp32":
        save_graph(to_onnx(graph, opset), path, metadata, external_data)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        save_graph(to_onnx(graph, opset), whole, metadata, external_data)
        reduced = ir.from_proto(smaller(whole, precision, graph.keep_in_float))
    save_graph(reduced, path, {}, external_data)


def _sources_of(graph: str, sources: dict[str, str]) -> dict[str, str]:
    names = ("codec.pth",) if graph.startswith("codec") else (f"{graph}.pth", "codec.pth")
    return {name: sources[name] for name in names}


@contextlib.contextmanager
def bundle_directory(out: Path) -> Iterator[Path]:
    """Yield a temporary directory; move what it holds to `out` when the block ends without an error.

    Files of an earlier bundle in `out` are replaced, anything else in it stays. After an error, Ctrl-C
    included, `out` is as it was.
    """
    temporary = None
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; name a directory for the bundle.")
        is_new = not out.exists()
        home = files.existing_parent(out) if is_new else out  # on the disk that the bundle is to lie on
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=home))
        yield temporary
        if is_new:
            temporary.chmod(files.usual_mode(0o777))  # mkdtemp's are for their owner alone
            out.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, out)
        else:
            _replace_files(temporary, out)
    except OSError as error:
        raise InputError(f"cannot write the bundle {out}: {error.strerror or error}.") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary)


def _replace_files(new: Path, out: Path) -> None:
    """Move a bundle over another; put the old one back if that fails.

    The manifest goes first and comes last: without it there is no bundle.
    """
    names = [MANIFEST, *(f"{name}.onnx{ending}" for name in GRAPHS for ending in ("", ".data"))]
    old = Path(tempfile.mkdtemp(dir=new))
    leaving = [(out / name, old / name) for name in names if (out / name).is_file()]
    arriving = [(new / name, out / name) for name in reversed(names) if (new / name).is_file()]
    moved = []
    try:
        for source, target in leaving + arriving:
            os.replace(source, target)
            moved.append((source, target))
    except BaseException:
        for source, target in reversed(moved):
            os.replace(target, source)
        raise
