"""Every golden array that the models make, from PyTorch and from ONNX Runtime.

`CHECKS` says how each array is computed and `difference` how far it is off; `test_mutations` uses both to
show that a small bug in any part of the code is noticed here.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
import reference
import torch

from helpers.vampnet import decoding
from helpers.vampnet import pipeline as runtime

AUDIO = 1e-4  # of full scale
OTHERS = 1e-5  # of the largest value. Promised are 1e-4, but a GELU with erf instead of tanh would pass that.
LENGTHS = ("b1_t7", "b2_t50", "b1_t131")


# --- Values inside a graph, under the names its modules have


def inside(pipeline, graph, array, *modules, side="output"):
    """What goes into each module ("input"), or comes out of it, while `graph` runs on `array`."""
    function = pipeline.graphs[graph]
    return (inside_onnx if hasattr(function, "path") else inside_torch)(pipeline, graph, array, modules, side)


def inside_torch(pipeline, graph, array, modules, side):
    root = getattr(pipeline, {"coarse": "coarse_model", "c2f": "c2f_model"}.get(graph, "codec"))
    seen = {}

    def watch(name):
        return lambda _, inputs, output: seen.update({name: output if side == "output" else inputs[0]})

    hooks = [root.get_submodule(name).register_forward_hook(watch(name)) for name in modules]
    try:
        pipeline.graphs[graph](array)
    finally:
        for hook in hooks:
            hook.remove()
    return [seen[name].numpy() for name in modules]


def inside_onnx(pipeline, graph, array, modules, side):
    """The same from the file: its nodes are named MODULE/OPERATOR_NUMBER, in the order in which they run."""
    model = onnx.load(pipeline.graphs[graph].path)
    del model.graph.output[:]
    for module in modules:
        nodes = [node for node in model.graph.node if node.name.startswith(f"{module}/")]
        name = nodes[-1].output[0] if side == "output" else nodes[0].input[0]
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})


# --- How each golden array is computed


def padded(golden):
    audio = golden["audio"]
    return np.pad(audio, (0, int(golden["padded_length"]) - len(audio)))[None, None]


def codec_latents(p, g):
    modules = (f"quantizer.quantizers.{i}.in_proj" for i in range(p.n_codebooks))
    return np.concatenate(inside(p, "codec_encoder", padded(g), *modules), axis=1)


def quantized(p, g):
    latents = inside(p, "codec_decoder", g["codes"], "decoder.conv_in", side="input")[0]
    return latents.reshape(*latents.shape[:2], -1)  # the graph's convolutions are over images of one row


def logits(graph, length):
    """In the order of the public code: (B, V, T * P), the codebook fast."""

    def compute(p, g):
        values = p.graphs[graph](g[f"{graph}_{length}_tokens"])  # (B, P, T, V)
        return values.transpose(0, 3, 2, 1).reshape(len(values), p.codebook_size, -1)

    return compute


def latents(graph, length):
    def compute(p, g):
        (frames,) = inside(p, graph, g[f"{graph}_{length}_tokens"], "embedding.out_proj", side="input")
        return frames.swapaxes(1, 2)

    return compute


def activations(graph, n_layers):
    modules = [f"layers.{i}" for i in range(n_layers)]
    return lambda p, g: np.stack(inside(p, graph, g[f"{graph}_b1_t7_tokens"], *modules))


def bias(graph):
    def compute(p, g):
        codes = np.zeros((1, g[f"{graph}_b1_t7_tokens"].shape[1], 40), np.int64)
        return inside(p, graph, codes, "position_bias")[0].swapaxes(0, 1)

    return compute


def generated(steps):
    """The four coarse books alone, all 120 frames in one piece."""

    def compute(p, g):
        return p.coarse(g["mask_tokens"], g["mask_periodic_7_1"], steps=steps, greedy=True, chunk=120)[:, :4]

    return compute


def coarse_vamp(p, g, **options):
    return p.coarse(g["mask_tokens"], g["mask_codebook_mask_3"], steps=6, greedy=True, **options)


def coarse_vamp_masked(p, g):
    codes, mask = g["mask_tokens"][:, :4], runtime.keep_the_ends(g["mask_codebook_mask_3"][:, :4])
    return decoding.unflatten(decoding.start(codes, mask, 0, p.mask_token).tokens, codes)


def coarse_to_fine(p, g, mask):
    return p.fine(g["coarse_vamp"], mask, steps=2, greedy=True, chunk=int(g["c2f_chunk_tokens"]))


CHECKS = {
    "encoder_z": lambda p, g: inside(p, "codec_encoder", padded(g), "encoder.conv_out")[0],
    "codes": lambda p, g: p.encode(g["audio"], 44100, condition=False),
    "interface_codes": lambda p, g: p.encode(g["stereo_audio"], 44100),
    "codec_latents": codec_latents,
    "quantized_z": quantized,
    "from_codes_z": quantized,
    "decoded_audio": lambda p, g: p.decode(g["codes"]),
    "vamp_audio": lambda p, g: p.decode(g["coarse_to_fine"]),
    "schedule_gamma": lambda p, g: decoding.cosine_schedule(torch.linspace(0, 1, 13).numpy()),
    "coarse_vamp": coarse_vamp,
    "coarse_vamp_chunked": lambda p, g: coarse_vamp(p, g, chunk=int(g["coarse_chunk_tokens"])),
    "coarse_vamp_masked": coarse_vamp_masked,
    "coarse_to_fine": lambda p, g: coarse_to_fine(p, g, g["mask_codebook_mask_3"]),
    "coarse_to_fine_nomask": lambda p, g: coarse_to_fine(p, g, None),
    "coarse_b1_t7_activations": activations("coarse", 3),
    "c2f_b1_t7_activations": activations("c2f", 2),
}
CHECKS |= {f"generate_coarse_steps{steps}": generated(steps) for steps in (1, 4, 12)}
for model in ("coarse", "c2f"):
    CHECKS[f"{model}_bias_40"] = bias(model)
    CHECKS |= {f"{model}_{length}_logits": logits(model, length) for length in LENGTHS}
    CHECKS |= {f"{model}_{length}_latents": latents(model, length) for length in LENGTHS}
# Inputs of the checks above, and what tests/spine/test_audio.py and tests/vampnet/test_masks.py compare.
INPUTS = {"audio", "padded_length", "stereo_audio", "mask_tokens", "coarse_chunk_tokens", "c2f_chunk_tokens"}
INPUTS |= {f"{model}_{length}_tokens" for model in ("coarse", "c2f") for length in LENGTHS}
ELSEWHERE = {"preprocessed_stereo"}


def exact(key, golden):
    return golden[key].dtype == np.int64 or key == "schedule_gamma"


def difference(key, pipeline, golden):
    """How far an array is off: the share that is unequal, or the largest difference over what is allowed."""
    actual, expected = CHECKS[key](pipeline, golden), golden[key]
    assert actual.shape == expected.shape
    if exact(key, golden):
        return (actual != expected).mean()
    allowed = AUDIO if key.endswith("audio") else OTHERS * np.abs(expected).max()
    return np.abs(actual - expected).max() / allowed


def agrees(key, pipeline, golden):
    """Tokens and schedule all equal, other numbers within what is allowed."""
    return difference(key, pipeline, golden) <= (0 if exact(key, golden) else 1)


def test_no_golden_array_is_forgotten(golden):
    masks = {name for name in golden if name.startswith("mask_")}
    assert set(golden) - masks == set(CHECKS) | (INPUTS - masks) | ELSEWHERE


@pytest.mark.parametrize("key", CHECKS)
def test_pytorch(key, torch_pipeline, golden):
    assert agrees(key, torch_pipeline, golden)


@pytest.mark.parametrize("key", CHECKS)
def test_onnx_runtime(key, onnx_pipeline, golden):
    assert agrees(key, onnx_pipeline, golden)


def test_the_chunks_are_the_public_ones(torch_pipeline, golden):
    """The whole in one piece and the default chunk of ten seconds are one and the same for 120 frames."""
    assert torch_pipeline.spec.coarse_chunk == 575 and torch_pipeline.spec.c2f_chunk == 173
    assert np.array_equal(coarse_vamp(torch_pipeline, golden, chunk=120), golden["coarse_vamp"])


def test_a_whole_vamp_is_coarse_then_fine(torch_pipeline, golden):
    mask = golden["mask_codebook_mask_3"]
    chunks = {"chunk": int(golden["coarse_chunk_tokens"]), "fine_chunk": int(golden["c2f_chunk_tokens"])}
    vamped = torch_pipeline.vamp(golden["mask_tokens"], mask, steps=6, fine_steps=2, greedy=True, **chunks)
    assert np.array_equal(vamped[:, :4], golden["coarse_vamp_chunked"][:, :4])
    fine = torch_pipeline.fine(golden["coarse_vamp_chunked"], mask, greedy=True, chunk=chunks["fine_chunk"])
    assert np.array_equal(vamped, fine)


# --- The plain implementation that stands in for golden arrays at other sizes


@pytest.fixture(scope="module")
def plain(models):
    """State dicts and kwargs of the golden checkpoints."""
    return {name: (source.tensors, source.kwargs) for name, source in models.sources.items()}


def close(actual, expected):
    return np.abs(actual.numpy() - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_reference_codec(plain, golden):
    frames = reference.encoder(*plain["codec"], torch.from_numpy(padded(golden)))
    codes, latents, total = reference.quantize(*plain["codec"], frames)
    assert close(frames, golden["encoder_z"])
    assert np.array_equal(codes, golden["codes"])
    assert close(latents, golden["codec_latents"])
    assert close(total, golden["quantized_z"])
    assert close(reference.decode(*plain["codec"], codes), golden["decoded_audio"])


@pytest.mark.parametrize("name", ["coarse", "c2f"])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_reference_transformers(name, length, plain, golden):
    codes = torch.from_numpy(golden[f"{name}_{length}_tokens"])
    codec_state = plain["codec"][0]
    outputs, flat = reference.transformer(*plain[name], codec_state, codes)
    assert close(reference.embed(*plain[name], codec_state, codes), golden[f"{name}_{length}_latents"])
    assert close(flat, golden[f"{name}_{length}_logits"])
    if length == "b1_t7":
        assert close(torch.stack(outputs), golden[f"{name}_{length}_activations"])
