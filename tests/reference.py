"""VampNet computed in the plainest way, straight from a checkpoint's state dict, in float64.

Shares no code with `helpers`: where the two agree on a checkpoint of any size, neither copied the other's
mistake. Written from the description of the architecture; `test_golden` holds it to the golden arrays.
"""

import math

import torch
from torch.nn import functional as F


def numbers(state, name):
    return state[name].double()


def conv_weight(state, prefix):
    """g v / ||v||, in either spelling, the norm over all but the first dimension."""
    if f"{prefix}.weight_g" in state:
        g, v = numbers(state, f"{prefix}.weight_g"), numbers(state, f"{prefix}.weight_v")
    else:
        g = numbers(state, f"{prefix}.parametrizations.weight.original0")
        v = numbers(state, f"{prefix}.parametrizations.weight.original1")
    return g * v / torch.sqrt((v**2).sum(dim=list(range(1, v.dim())), keepdim=True))


def conv(state, prefix, x, dilation=1, **options):
    weight = conv_weight(state, prefix)
    if "padding" not in options:
        options["padding"] = dilation * (weight.shape[-1] - 1) // 2
    return F.conv1d(x, weight, numbers(state, f"{prefix}.bias"), dilation=dilation, **options)


def snake(state, prefix, x):
    a = numbers(state, f"{prefix}.alpha")
    return x + torch.sin(a * x) ** 2 / (a + 1e-9)


def encoder(state, kwargs, audio):
    """Audio (B, 1, N) -> frames (B, width, T), before quantization."""
    x = conv(state, "encoder.block.0", audio.double())
    rates = kwargs["encoder_rates"]
    for i, rate in enumerate(rates, start=1):
        block = f"encoder.block.{i}.block"
        for j, dilation in enumerate((1, 3, 9)):
            unit = f"{block}.{j}.block"
            y = conv(state, f"{unit}.1", snake(state, f"{unit}.0", x), dilation)
            x = x + conv(state, f"{unit}.3", snake(state, f"{unit}.2", y))
        x = conv(state, f"{block}.4", snake(state, f"{block}.3", x), stride=rate, padding=rate // 2)
    x = snake(state, f"encoder.block.{len(rates) + 1}", x)
    return conv(state, f"encoder.block.{len(rates) + 2}", x)


def quantize(state, kwargs, frames):
    """Frames -> codes (B, C, T), latents (B, sum of code widths, T) and the quantized frames."""
    residual, codes, latents, total = frames, [], [], 0
    for i in range(kwargs["n_codebooks"]):
        prefix = f"quantizer.quantizers.{i}"
        latent = conv(state, f"{prefix}.in_proj", residual)
        table = numbers(state, f"{prefix}.codebook.weight")
        unit_table = table / table.norm(dim=1, keepdim=True)
        unit_latent = latent / latent.norm(dim=1, keepdim=True)
        distance = ((unit_latent.transpose(1, 2)[:, :, None] - unit_table) ** 2).sum(-1)  # (B, T, V)
        code = distance.argmin(-1)
        quantized = conv(state, f"{prefix}.out_proj", table[code].transpose(1, 2))
        residual, total = residual - quantized, total + quantized
        codes.append(code)
        latents.append(latent)
    return torch.stack(codes, 1), torch.cat(latents, 1), total


def encode(state, kwargs, audio):
    return quantize(state, kwargs, encoder(state, kwargs, audio))[0]


def from_codes(state, codes):
    """Codes (B, C, T) -> quantized frames (B, width, T)."""
    total = 0
    for i in range(codes.shape[1]):
        prefix = f"quantizer.quantizers.{i}"
        rows = numbers(state, f"{prefix}.codebook.weight")[codes[:, i]]
        total = total + conv(state, f"{prefix}.out_proj", rows.transpose(1, 2))
    return total


def decode(state, kwargs, codes):
    """Codes (B, C, T) -> audio (B, 1, M)."""
    x = conv(state, "decoder.model.0", from_codes(state, codes))
    rates = kwargs["decoder_rates"]
    for i, rate in enumerate(rates, start=1):
        block = f"decoder.model.{i}.block"
        weight, bias = conv_weight(state, f"{block}.1"), numbers(state, f"{block}.1.bias")
        x = F.conv_transpose1d(snake(state, f"{block}.0", x), weight, bias, stride=rate, padding=rate // 2)
        stacks = []
        for j in range(3):
            y = x
            for k, dilation in enumerate((1, 3, 5)):
                layer = f"{block}.2.mrf_blocks.{j}.block.{k}.layer"
                z = conv(state, f"{layer}.1", snake(state, f"{layer}.0", y), dilation)
                y = y + conv(state, f"{layer}.3", snake(state, f"{layer}.2", z))
            stacks.append(y)
        x = (stacks[0] + stacks[1] + stacks[2]) / 3
    x = snake(state, f"decoder.model.{len(rates) + 1}", x)
    return torch.tanh(conv(state, f"decoder.model.{len(rates) + 2}", x))


def rms_norm(x, weight):
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * weight


def linear(state, prefix, x):
    """x W^T, the LoRA pair applied beside it instead of folded in."""
    y = x @ numbers(state, f"{prefix}.weight").T
    if f"{prefix}.lora_A" in state:
        down, up = numbers(state, f"{prefix}.lora_A"), numbers(state, f"{prefix}.lora_B")
        y = y + (x @ down.T) @ up.T / down.shape[0]
    return y


def t5_bucket(offset):
    """The bucket of key position minus query position, with the logarithm of the original formula."""
    side, n = (16, offset) if offset > 0 else (0, -offset)
    if n < 8:
        return side + n
    return side + min(15, 8 + int(math.log(n / 8) / math.log(128 / 8) * 8 + 1e-9))


def position_bias(table, n_frames):
    """(H, T, T) for query and key."""
    buckets = [[t5_bucket(key - query) for key in range(n_frames)] for query in range(n_frames)]
    return table.double()[torch.tensor(buckets)].permute(2, 0, 1)


def embed(state, kwargs, codec_state, codes):
    """Codes (B, C, T) -> latents (B, C * latent_dim, T)."""
    parts = []
    for i in range(kwargs["n_codebooks"]):
        table = numbers(codec_state, f"quantizer.quantizers.{i}.codebook.weight")
        rows = torch.cat([table, numbers(state, "embedding.special.MASK")[i][None]])
        parts.append(rows[codes[:, i]])
    return torch.cat(parts, -1).transpose(1, 2)


def transformer(state, kwargs, codec_state, codes):
    """Codes (B, C, T) -> the output of every layer, (B, T, d), and logits (B, V, T * P), P the fast index."""
    n_heads = kwargs["n_heads"]
    x = F.conv1d(embed(state, kwargs, codec_state, codes), numbers(state, "embedding.out_proj.weight"),
                 numbers(state, "embedding.out_proj.bias")).transpose(1, 2)  # fmt: skip
    batch, n_frames, width = x.shape
    head = width // n_heads
    table = state["transformer.layers.0.self_attn.relative_attention_bias.weight"]
    bias, outputs = position_bias(table, n_frames), []
    for i in range(kwargs["n_layers"]):
        layer = f"transformer.layers.{i}"
        normed = rms_norm(x, numbers(state, f"{layer}.norm_1.weight"))
        q, k, v = (linear(state, f"{layer}.self_attn.{name}", normed) for name in ("w_qs", "w_ks", "w_vs"))
        heads = []
        for h in range(n_heads):
            part = slice(h * head, (h + 1) * head)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(head) + bias[h]
            heads.append(torch.softmax(scores, -1) @ v[..., part])
        x = x + linear(state, f"{layer}.self_attn.fc", torch.cat(heads, -1))
        wide = linear(
            state, f"{layer}.feed_forward.w_1", rms_norm(x, numbers(state, f"{layer}.norm_3.weight"))
        )
        value, gate = wide[..., : 2 * width], wide[..., 2 * width :]
        gelu = 0.5 * gate * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        x = x + linear(state, f"{layer}.feed_forward.w_2", value * gelu)
        outputs.append(x)
    x = rms_norm(x, numbers(state, "transformer.norm.weight"))
    head_weight, head_bias = (
        conv_weight(state, "classifier.layers.0"),
        numbers(state, "classifier.layers.0.bias"),
    )
    channels = F.conv1d(x.transpose(1, 2), head_weight, head_bias)  # (B, V * P, T), P the fast index
    n_predicted = kwargs["n_codebooks"] - kwargs.get("n_conditioning_codebooks", 0)
    frames = [channels[:, :, t].reshape(batch, -1, n_predicted) for t in range(n_frames)]
    return outputs, torch.cat(frames, -1)


def logits(state, kwargs, codec_state, codes):
    """In the order of the exported graphs: (B, P, T, V)."""
    flat = transformer(state, kwargs, codec_state, codes)[1]
    return flat.reshape(*flat.shape[:2], codes.shape[-1], -1).permute(0, 3, 2, 1)
