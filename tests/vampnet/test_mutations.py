"""The golden tests can fail: a small bug in any part of the code turns one of their comparisons red.

Each entry puts in one bug and names the golden arrays that must notice it. The loudness meter and the
signal conditioning are shown the same in the last test; `test_audio` holds their golden comparison.
"""

import importlib

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers import layers
from helpers.vampnet import codec, decoding
from helpers.vampnet import pipeline as runtime
from tests.spine.test_audio import test_golden_conditioning as conditioning_holds
from tests.spine.test_layers import film_agrees
from tests.vampnet.test_golden import agrees, difference

CODES, COARSE, FINE = "codes", "coarse_b1_t7_logits", "c2f_b1_t7_logits"
CODEC_AUDIO, GENERATED = "decoded_audio", "generate_coarse_steps12"
BIAS = ("coarse_bias_40", "c2f_bias_40", "coarse_b1_t131_logits")


def layer_norm(self, x):
    return F.layer_norm(x, self.weight.shape, self.weight, None, self.eps)


def unscaled_norm(self, x):
    return F.rms_norm(x, self.weight.shape, None, self.eps)


def norm_with_sum(self, x):
    return x / torch.sqrt((x**2).sum(-1, keepdim=True) + self.eps) * self.weight


def gelu_with_erf(self, x):
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


def gelu_of_the_first_half(self, x):
    gate, value = x.chunk(2, dim=-1)
    return value * F.gelu(gate, approximate="tanh")


def attention(scale=None, bias_factor=1.0):
    def forward(self, x, bias):
        q, k, v = (self.split_heads(project(x)) for project in (self.w_qs, self.w_ks, self.w_vs))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_factor * bias, scale=scale)
        return self.fc(attended.transpose(1, 2).flatten(2))

    return forward


def heads_minor(self, x):
    return x.unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2)


right_bias, right_latents = layers.RelativePositionBias.forward, layers.CodebookEmbedding.latents


def mirrored_bias(self, n_frames):
    return right_bias(self, n_frames).transpose(2, 3)


def mask_row_of_the_next_book(self, codes):
    table = self.table.unflatten(0, (-1, self.rows)).clone()
    table[:, -1] = table[:, -1].roll(1, 0)
    return (
        F.embedding(codes + torch.arange(codes.shape[1])[:, None] * self.rows, table.flatten(0, 1))
        .transpose(1, 2)
        .flatten(2)
    )


def books_interleaved(self, codes):
    return right_latents(self, codes).unflatten(-1, (codes.shape[1], -1)).transpose(2, 3).flatten(2)


def snake_without_square(self, x):
    return x + torch.sin(self.alpha * x) / self.alpha


def snake_without_division(self, x):
    return x + torch.sin(self.alpha * x) ** 2


def encode_without_subtraction(self, z):
    return torch.stack([quantizer.similarities(z).argmax(-1) for quantizer in self.quantizers], dim=1)


def codebook_not_normalised(self, z):
    return self.in_proj(z).transpose(1, 2) @ self.codebook.T


def normalised_rows_looked_up(self, codes):
    return self.out_proj(F.embedding(codes, F.normalize(self.codebook)).transpose(1, 2))


def sum_of_stacks(self, x):
    return sum(stack(x) for stack in self.stacks)


def two_stacks(self, x):
    return sum(stack(x) for stack in self.stacks[:2]) / 2


def without_tanh(self, frames):
    return self.conv_out(self.snake(self.stages(self.conv_in(frames))))


MODULES = {
    "RMSNorm subtracts the mean": (layers.RMSNorm, layer_norm, [COARSE, FINE]),
    "RMSNorm forgets its weight": (layers.RMSNorm, unscaled_norm, [COARSE, FINE]),
    "RMSNorm sums instead of averaging": (layers.RMSNorm, norm_with_sum, [COARSE, FINE]),
    "GELU with erf": (layers.GatedGELU, gelu_with_erf, [COARSE, FINE]),
    "GELU of the first half": (layers.GatedGELU, gelu_of_the_first_half, [COARSE, FINE]),
    "attention without scale": (layers.RelativeAttention, attention(scale=1.0), [COARSE, FINE]),
    "attention without bias": (layers.RelativeAttention, attention(bias_factor=0.0), [COARSE, FINE]),
    "bias subtracted": (layers.RelativeAttention, attention(bias_factor=-1.0), [COARSE, FINE]),
    "query and key swapped in the bias": (layers.RelativePositionBias, mirrored_bias, [*BIAS, COARSE]),
    "Snake without the square": (layers.Snake, snake_without_square, [CODES, CODEC_AUDIO]),
    "Snake without the division": (layers.Snake, snake_without_division, [CODES, CODEC_AUDIO]),
    "stacks summed": (codec.MultiReceptiveField, sum_of_stacks, [CODEC_AUDIO]),
    "one stack forgotten": (codec.MultiReceptiveField, two_stacks, [CODEC_AUDIO]),
    "no tanh": (codec.Decoder, without_tanh, [CODEC_AUDIO]),
}
METHODS = {
    "heads split minor first": (layers.RelativeAttention, "split_heads", heads_minor, [COARSE, FINE]),
    "MASK row of the next book": (
        layers.CodebookEmbedding,
        "latents",
        mask_row_of_the_next_book,
        [COARSE, FINE],
    ),
    "books interleaved": (
        layers.CodebookEmbedding,
        "latents",
        books_interleaved,
        ["coarse_b1_t7_latents", COARSE],
    ),
    "residual not subtracted": (
        layers.ResidualVQ,
        "encode",
        encode_without_subtraction,
        [CODES, "interface_codes"],
    ),
    "codebook not normalised": (layers.VectorQuantizer, "similarities", codebook_not_normalised, [CODES]),
    "normalised rows looked up": (
        layers.VectorQuantizer,
        "decode",
        normalised_rows_looked_up,
        [CODES, CODEC_AUDIO, "from_codes_z"],
    ),
}
METHODS |= {name: (cls, "forward", bug, keys) for name, (cls, bug, keys) in MODULES.items()}


@pytest.mark.parametrize("bug", METHODS)
def test_a_bug_in_a_layer_is_noticed(bug, torch_pipeline, golden, monkeypatch):
    cls, name, wrong, keys = METHODS[bug]
    monkeypatch.setattr(cls, name, wrong)
    for key in keys:
        assert not agrees(key, torch_pipeline, golden), key


def test_a_wrong_epsilon_is_noticed(torch_pipeline, golden, monkeypatch):
    for module in torch_pipeline.coarse_model.modules():
        if isinstance(module, layers.RMSNorm):
            monkeypatch.setattr(module, "eps", 1e-2)
    assert not agrees(COARSE, torch_pipeline, golden)


@pytest.mark.parametrize("edge", [0, 7, 8, 10])
def test_one_bucket_edge_off_by_one_is_noticed(edge, torch_pipeline, golden, monkeypatch):
    position_bias = torch_pipeline.coarse_model.position_bias
    wrong = list(position_bias.edges)
    wrong[edge] += 1
    monkeypatch.setattr(position_bias, "edges", wrong)
    assert not agrees("coarse_bias_40", torch_pipeline, golden)


def test_a_wrong_film_is_noticed(monkeypatch):
    def without_the_one(self, x, condition=None):
        condition = condition[:, None] if condition.dim() == 2 else condition
        return x * self.gamma(condition) + self.beta(condition)

    assert film_agrees()
    monkeypatch.setattr(layers.FiLM, "forward", without_the_one)
    assert not film_agrees()


# --- The decoding loop

right_count, right_start = decoding.n_remasked, decoding.start


def schedule_in_float64(progress):
    return np.clip(np.cos(np.pi / 2 * progress), 1e-10, 1)


def one_step_late(step, n_steps, n_start, n_now):
    return (
        right_count(step - 1, n_steps, n_start, n_now)
        if step + 1 < n_steps
        else right_count(step, n_steps, n_start, n_now)
    )


def one_fewer(step, n_steps, n_start, n_now):
    return np.maximum(right_count(step, n_steps, n_start, n_now) - 1, 0)


def frame_fast(array, n_conditioning):
    return array[:, n_conditioning:].reshape(array.shape[0], -1, *array.shape[3:])


def frame_fast_back(predicted, given):
    n_predicted = predicted.shape[1] // given.shape[2]
    books = predicted.reshape(len(given), n_predicted, given.shape[2])
    return np.concatenate([given[:, : given.shape[1] - n_predicted], books], axis=1)


def at_most(confidence, count):
    threshold = np.take_along_axis(np.sort(confidence, axis=1), count[:, None], 1)
    return confidence <= threshold


def most_confident(confidence, count):
    return decoding_least_confident(np.where(np.isinf(confidence), confidence, -confidence), count)


decoding_least_confident = decoding.least_confident
LOOP = {
    "schedule in float64": (decoding, "cosine_schedule", schedule_in_float64, ["schedule_gamma", GENERATED]),
    "schedule one step late": (decoding, "n_remasked", one_step_late, [GENERATED, "coarse_vamp"]),
    "schedule one token short": (decoding, "n_remasked", one_fewer, [GENERATED, "coarse_vamp"]),
    "the threshold itself masked again": (
        decoding,
        "least_confident",
        at_most,
        [GENERATED, "coarse_to_fine"],
    ),
    "the most confident masked again": (
        decoding,
        "least_confident",
        most_confident,
        [GENERATED, "coarse_to_fine"],
    ),
    "ends not kept": (runtime, "keep_the_ends", lambda mask: mask, ["coarse_vamp", "coarse_vamp_chunked"]),
}


@pytest.mark.parametrize("bug", LOOP)
def test_a_bug_in_the_loop_is_noticed(bug, torch_pipeline, golden, monkeypatch):
    module, name, wrong, keys = LOOP[bug]
    monkeypatch.setattr(module, name, wrong)
    for key in keys:
        assert not agrees(key, torch_pipeline, golden), key


def test_the_wrong_order_of_books_and_frames_is_noticed(torch_pipeline, golden, monkeypatch):
    """Logits in one order and tokens in the other; both wrong would only move ties and noise."""
    right = decoding.flatten
    monkeypatch.setattr(
        decoding, "flatten", lambda array, n: (frame_fast if array.ndim == 4 else right)(array, n)
    )
    assert not agrees(GENERATED, torch_pipeline, golden)
    monkeypatch.setattr(decoding, "flatten", right)
    monkeypatch.setattr(decoding, "unflatten", frame_fast_back)
    assert not agrees(GENERATED, torch_pipeline, golden)


def test_logits_with_the_wrong_fast_index_are_noticed(torch_pipeline, golden, monkeypatch):
    right = torch_pipeline.graphs["coarse"]

    def token_fast(codes):
        """Channels read as codebook x token instead of token x codebook."""
        values = right(codes)  # (B, P, T, V)
        channels = values.transpose(0, 2, 3, 1).reshape(*values.shape[::2], -1)
        return channels.reshape(len(values), values.shape[2], values.shape[1], -1).swapaxes(1, 2)

    monkeypatch.setitem(torch_pipeline.graphs, "coarse", token_fast)
    for key in (COARSE, GENERATED):
        assert not agrees(key, torch_pipeline, golden)


@pytest.mark.parametrize("generated", [False, True], ids=["not padded", "padding kept"])
def test_a_bug_in_the_padding_of_fine_chunks_is_noticed(generated, torch_pipeline, golden, monkeypatch):
    """120 frames are four chunks of 29 and four frames: those four depend on the padding."""
    right = runtime.decode_masked

    def wrong(logits_of, codes, mask, n_conditioning, *rest):
        n_real = 4 if (codes[:, 0, 4:] == 0).all() else codes.shape[-1]
        if generated:
            mask = mask.copy()
            mask[..., n_real:] = 0
        else:
            codes, mask = codes[..., :n_real], mask[..., :n_real]
        return right(logits_of, codes, mask, n_conditioning, *rest)

    monkeypatch.setattr(runtime, "decode_masked", wrong)
    key = "coarse_to_fine_nomask"
    assert not agrees(key, torch_pipeline, golden)
    assert difference(key, torch_pipeline, golden) <= 4 / 120  # and nothing but the last chunk


def test_a_wrong_meter_is_noticed(golden, monkeypatch):
    meter = importlib.import_module("helpers.audio.loudness")  # the package has a function of that name
    right = meter.loudness
    conditioning_holds(golden)
    monkeypatch.setattr(meter, "loudness", lambda *arguments, **options: right(*arguments, **options) + 0.02)
    with pytest.raises(AssertionError):
        conditioning_holds(golden)
