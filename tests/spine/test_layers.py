"""Each layer against its formula, written out with plain tensor operations in float64."""

import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.layers import (
    CodebookEmbedding,
    FeedForward,
    FiLM,
    GatedGELU,
    RelativeAttention,
    RelativePositionBias,
    ResidualVQ,
    RMSNorm,
    Snake,
    VectorQuantizer,
)
from helpers.layers.images import ChannelAttention, ConvNorm, Ghost, Inverted, SqueezeExcitation, folded

few = settings(max_examples=20, deadline=None)


@pytest.fixture(autouse=True)
def fixed_noise():
    torch.manual_seed(0)


def random_weights(layer):
    """Every parameter distinctive; constructors leave some at one or zero."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return layer.double().requires_grad_(False)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def same(actual, expected, tolerance=1e-9):
    return actual.shape == expected.shape and torch.allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-8, 0.0], ids=str)
def test_rms_norm(scale):
    layer, x = random_weights(RMSNorm(5)), scale * randn(2, 3, 5)
    expected = layer.weight * x / torch.sqrt((x * x).sum(-1, keepdim=True) / 5 + 1e-6)
    assert same(layer(x), expected)


def film_agrees():
    """Shared with `test_mutations`: the golden checkpoints have no FiLM parameters."""
    layer, x = random_weights(FiLM(3, 4)), randn(2, 5, 4)
    per_item, per_frame = randn(2, 3), randn(2, 5, 3)

    def expected(condition):
        gamma = condition @ layer.gamma.weight.T + layer.gamma.bias
        return x * (gamma + 1) + condition @ layer.beta.weight.T + layer.beta.bias

    return same(layer(x, per_item), expected(per_item[:, None])) and same(
        layer(x, per_frame), expected(per_frame)
    )


def test_film():
    assert film_agrees()


def test_film_without_a_condition_is_the_identity_and_has_no_parameters():
    layer, x = FiLM(0, 4), randn(2, 5, 4)
    assert torch.equal(layer(x), x) and not list(layer.parameters())
    with pytest.raises(ValueError, match="width 3"):
        FiLM(3, 4)(x)


def test_gated_gelu_takes_the_tanh_form_of_the_second_half():
    x = 3 * randn(2, 7, 10)
    gate = x[..., 5:]
    gelu = gate / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
    assert same(GatedGELU()(x), x[..., :5] * gelu)


def test_feed_forward_keeps_the_width():
    layer, x = random_weights(FeedForward(6)), randn(2, 3, 6)
    hidden = x @ layer.w_1.weight.T
    assert hidden.shape[-1] == 24
    assert same(layer(x), GatedGELU()(hidden) @ layer.w_2.weight.T)


def test_buckets_of_every_distance_follow_the_logarithm():
    layer = random_weights(RelativePositionBias(3))
    bias = layer(301)[0]
    for query, key in [(150, key) for key in range(301)] + [(0, 300), (300, 0)]:
        assert torch.equal(bias[:, query, key], layer.weight[reference.t5_bucket(key - query)])


def test_bucket_edges():
    assert RelativePositionBias.bucket_edges(16, 128) == [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]


@few
@given(st.integers(1, 40))
def test_the_bias_depends_on_the_offset_alone(n_frames):
    layer = random_weights(RelativePositionBias(2))
    bias = layer(n_frames)
    assert bias.shape == (1, 2, n_frames, n_frames)
    assert torch.equal(bias, layer(n_frames + 5)[..., :n_frames, :n_frames])
    assert torch.equal(bias[..., 1:, 1:], bias[..., :-1, :-1])


@pytest.mark.parametrize("n_heads", [1, 2, 6])
@pytest.mark.parametrize("n_frames", [1, 9])
def test_attention(n_heads, n_frames):
    layer, x = random_weights(RelativeAttention(6, n_heads)), randn(2, n_frames, 6)
    bias, size = randn(1, n_heads, n_frames, n_frames), 6 // n_heads
    heads = []
    for h in range(n_heads):
        part = slice(h * size, (h + 1) * size)
        q, k, v = ((x @ project.weight.T)[..., part] for project in (layer.w_qs, layer.w_ks, layer.w_vs))
        scores = torch.einsum("bqd,bkd->bqk", q, k) / size**0.5 + bias[0, h]
        heads.append(torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True) @ v)
    assert same(layer(x, bias), torch.cat(heads, -1) @ layer.fc.weight.T)


def test_embedding_gives_every_codebook_its_own_rows_and_its_own_mask():
    layer = random_weights(CodebookEmbedding(n_codebooks=3, vocab_size=4, latent_dim=2, width=5))
    codes = torch.tensor([[[0, 4, 3], [4, 1, 2], [2, 2, 4]]])  # 4 is MASK
    tables = layer.table.reshape(3, 5, 2)
    for frame in range(3):
        latents = torch.cat([tables[book, codes[0, book, frame]] for book in range(3)])
        assert same(layer.latents(codes)[0, frame], latents)
        assert same(layer(codes)[0, frame], layer.out_proj.weight @ latents + layer.out_proj.bias)


def test_snake():
    layer, x = random_weights(Snake(3)), randn(2, 3, 7)
    alpha = layer.alpha.abs().reshape(3, 1)
    layer.alpha.abs_()
    assert same(layer(x), x + (1 - torch.cos(2 * alpha * x)) / 2 / (alpha + 1e-9))


def test_a_snake_with_alpha_zero_is_finite():
    layer = Snake(1).requires_grad_(False)
    layer.alpha.zero_()
    assert torch.equal(layer(torch.ones(1, 1, 4)), torch.ones(1, 1, 4))


def nearest(frame, codebook):
    """By Euclidean distance between unit vectors."""
    unit = frame / frame.norm()
    return min(range(len(codebook)), key=lambda row: (unit - codebook[row] / codebook[row].norm()).norm())


@few
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_nearest_row_is_nearest_by_direction(seed, n_frames):
    torch.manual_seed(seed)
    layer = random_weights(VectorQuantizer(width=4, codebook_size=6, codebook_dim=3))
    z = 10.0 ** torch.randint(-3, 3, (1,)).item() * randn(1, 4, n_frames)
    projected = layer.in_proj(z)[0].T
    expected = [nearest(frame, layer.codebook) for frame in projected]
    assert layer.similarities(z).argmax(-1).tolist() == [expected]


def test_each_codebook_codes_what_the_ones_before_it_left_over():
    layer = random_weights(ResidualVQ(width=4, n_codebooks=3, codebook_size=6, codebook_dims=[2, 3, 5]))
    z = randn(2, 4, 7)
    codes, left = layer.encode(z), z.clone()
    for i, quantizer in enumerate(layer.quantizers):
        assert torch.equal(codes[:, i], quantizer.similarities(left).argmax(-1))
        rows = quantizer.codebook[codes[:, i]].transpose(1, 2)  # as stored, not normalised
        left = left - quantizer.out_proj(rows)
    assert same(layer.decode(codes), z - left)


# --- over time and frequency


def normed(x, norm, eps):
    """Batch norm in use, written out."""
    scale = norm.weight / (norm.running_var + eps).sqrt()
    return x * scale[:, None, None] + (norm.bias - norm.running_mean * scale)[:, None, None]


def image_layer(layer):
    layer = random_weights(layer).eval()
    for part in layer.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return layer


@few
@given(n=st.integers(3, 9), m=st.integers(3, 9), kernel=st.sampled_from([1, 3, 5]), stride=st.integers(1, 3))
def test_ways_to_stride(n, m, kernel, stride):
    x = randn(2, 3, n, m)
    for striding in ("step", "pool", "same"):
        if striding != "pool" and kernel < stride or striding == "pool" and min(n, m) < stride:
            continue
        layer = image_layer(ConvNorm(3, 4, kernel, stride, 1, "none", striding, eps=1e-3))
        if striding == "same":
            sides = []
            for size in (m, n):
                total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
                sides += [total // 2, total - total // 2]
            padded = torch.nn.functional.pad(x, sides)
            made = torch.nn.functional.conv2d(padded, layer.conv.weight, stride=stride)
            assert made.shape[2:] == (-(-n // stride), -(-m // stride))
        else:
            step = 1 if striding == "pool" else stride
            made = torch.nn.functional.conv2d(x, layer.conv.weight, stride=step, padding=kernel // 2)
            if striding == "pool":
                made = torch.nn.functional.avg_pool2d(made, stride)
        torch.testing.assert_close(layer(x), normed(made, layer.norm, 1e-3))


def test_attention_to_channels():
    x = randn(2, 6, 4, 5)
    squeeze = random_weights(SqueezeExcitation(6, 2, "silu"))
    narrow = torch.einsum("bctm,sc->bs", x, squeeze.squeeze.weight) / 20 + squeeze.squeeze.bias
    gates = torch.sigmoid((narrow * narrow.sigmoid()) @ squeeze.excite.weight.T + squeeze.excite.bias)
    torch.testing.assert_close(squeeze(x), torch.einsum("bctm,bc->bctm", x, gates))
    layer = random_weights(ChannelAttention(3))
    means = torch.nn.functional.pad(x.mean((2, 3)), (1, 1))
    gates = torch.sigmoid(means.unfold(1, 3, 1) @ layer.conv.weight.flatten())
    torch.testing.assert_close(layer(x), x * gates[:, :, None, None])


def test_ghosts_are_made_of_the_other_half():
    x, layer = randn(2, 3, 4, 5), image_layer(Ghost(3, 7, "none"))
    made = layer(x)
    assert made.shape == (2, 7, 4, 5)
    torch.testing.assert_close(made[:, :4], layer.primary(x))
    torch.testing.assert_close(made[:, 4:], layer.cheap(made[:, :4])[:, :3])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("width, stride, expanded", [(4, 1, 8), (4, 2, 8), (5, 1, 8), (4, 1, 4)])
def test_bottlenecks_add_what_came_in(fused, width, stride, expanded):
    x = randn(2, 4, 6, 6)
    layer = image_layer(Inverted(4, width, expanded, 3, stride, "relu", fused=fused))
    parts = [layer.expand, layer.depthwise, layer.project]
    assert sum(part is not None for part in parts) == (3 - fused - (expanded == 4))
    inside = x
    for part in parts:
        inside = inside if part is None else part(inside)
    torch.testing.assert_close(layer(x), inside + x if (width, stride) == (4, 1) else inside)


@pytest.mark.parametrize("striding", ["step", "pool", "same"])
def test_a_norm_goes_into_its_convolution(striding):
    layer = image_layer(ConvNorm(3, 6, 3, 2, 3, "relu", striding))
    x = randn(2, 3, 7, 6)
    small = folded(layer)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in small.modules())
    torch.testing.assert_close(small(x), layer(x))
