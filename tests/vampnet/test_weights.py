"""VampNet's weights into its modules: every tensor accounted for, everything else refused by name."""

import copy
import dataclasses
import html.parser
import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from refusals import refused

from helpers import checkpoints
from helpers.checkpoints import LORA_ENDINGS, Checkpoint
from helpers.support.files import ROOT
from helpers.transfer import MOST_SHOWN, WEIGHT_NORM_SPELLINGS, TransferReport
from helpers.vampnet import weights as transfer
from helpers.vampnet.files import NAMES
from helpers.vampnet.weights import CODEC, assign_loras, pipeline_spec, transfer_codec, transfer_vampnet

OLD, NEW = WEIGHT_NORM_SPELLINGS
FILES = pytest.mark.parametrize("name", NAMES)
TRANSFORMERS = pytest.mark.parametrize("name", ["coarse", "c2f"])
ATTENTION, FEED_FORWARD = ("w_qs", "w_ks", "w_vs", "fc"), ("w_1", "w_2")
PROJECTIONS = [f"self_attn.{part}" for part in ATTENTION] + [f"feed_forward.{part}" for part in FEED_FORWARD]
QS = "transformer.layers.0.self_attn.w_qs"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The tensors are small: waking other threads for each would take longer than the work."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.fixture(scope="module")
def sources(golden_dir) -> dict[str, Checkpoint]:
    return {name: checkpoints.read(golden_dir / f"{name}.pth") for name in NAMES}


def moved(name, checkpoint, sources, loras=()):
    """The module and the report that a checkpoint in the place of `name` gives."""
    if name == "codec":
        return transfer_codec(checkpoint)
    return transfer_vampnet(checkpoint, sources["codec"], loras)


def with_tensors(checkpoint, changes=(), without=()):
    """The checkpoint with other tensors."""
    tensors = {
        name: tensor for name, tensor in (checkpoint.tensors | dict(changes)).items() if name not in without
    }
    return dataclasses.replace(checkpoint, tensors=tensors)


def with_kwargs(checkpoint, **changes):
    """The checkpoint with another shape in its metadata."""
    return dataclasses.replace(
        checkpoint, metadata={**checkpoint.metadata, "kwargs": checkpoint.kwargs | changes}
    )


def overlay(checkpoint, keep=lambda name: True, path="other.pth", scale=2.0):
    """A LoRA overlay with numbers of its own, for the checkpoint's layers."""
    tensors = {
        name: scale * tensor for name, tensor in checkpoint.tensors.items() if name.endswith(LORA_ENDINGS)
    }
    return Checkpoint(Path(path), {name: tensor for name, tensor in tensors.items() if keep(name)}, {})


def weights(module):
    return dict(module.named_parameters())


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())


# --- Every tensor


BATCH = (
    4  # a layer has up to three tensors: no batch holds two of one layer, so each must be missed by itself
)


def batches(name, checkpoint):
    """The names of the tensors, one at a time; those of the codec, which takes longer, in a few batches."""
    names = list(checkpoint.tensors)
    return [names[first::BATCH] for first in range(BATCH)] if name == "codec" else [[one] for one in names]


@pytest.fixture
def show_all(monkeypatch):
    monkeypatch.setattr("helpers.transfer.MOST_SHOWN", 10**6)


@FILES
def test_deleting_any_tensor_is_refused_by_name(name, sources, show_all):
    for batch in batches(name, sources[name]):
        with refused(f"{name}.pth: ", *(f"'{one}' is missing" for one in batch)):
            moved(name, with_tensors(sources[name], without=batch), sources)


@FILES
def test_renaming_any_tensor_is_refused_by_both_names(name, sources, show_all):
    for batch in batches(name, sources[name]):
        renamed = {f"{one}_2": sources[name].tensors[one] for one in batch}
        missing = [f"'{one}' is missing" for one in batch]
        strange = [f"'{one}' is not part of this model" for one in renamed]
        with refused(*missing, *strange):
            moved(name, with_tensors(sources[name], renamed, without=batch), sources)


@FILES
@pytest.mark.parametrize("reshape", [
    lambda tensor: tensor[None],
    lambda tensor: tensor.reshape(-1, 1, 1, 1),
    lambda tensor: torch.cat([tensor, tensor]),
    lambda tensor: tensor[:0],
], ids=["unsqueeze", "flat", "double", "empty"])  # fmt: skip
def test_reshaping_any_tensor_is_refused_by_name(name, sources, show_all, reshape):
    for batch in batches(name, sources[name]):
        with refused(*(f"'{one}' has " for one in batch)):  # another shape, or another rank than its partner
            moved(
                name,
                with_tensors(sources[name], {one: reshape(sources[name].tensors[one]) for one in batch}),
                sources,
            )


@FILES
def test_one_number_that_is_none_is_refused_by_name(name, sources, show_all):
    evil = itertools.cycle([float("nan"), float("inf"), float("-inf")])
    for batch in batches(name, sources[name]):
        damaged = {one: sources[name].tensors[one].clone() for one in batch}
        for tensor in damaged.values():
            tensor.view(-1)[-1] = next(evil)
        with refused(*(f"'{one}' holds NaN or infinite" for one in batch)):
            moved(name, with_tensors(sources[name], damaged), sources)


@FILES
@pytest.mark.parametrize("stranger", [
    "x", "embedding.special.PAD", f"{CODEC}quantizer.quantizers.0.codebook.weight", "x.lora_A",
    "transformer.layers.9.norm_1.weight", "transformer.layers.0.self_attn.w_ks.lora_A",
    "transformer.layers.1.self_attn.relative_attention_bias.weight",
    "quantizer.quantizers.14.codebook.weight", "encoder.block.0.weight_h", "line\nbreak",
])  # fmt: skip
def test_a_stranger_is_refused_by_name(name, sources, stranger):
    with refused(f"{name}.pth: ", repr(stranger), "not part of this model"):
        moved(name, with_tensors(sources[name], {stranger: torch.ones(2)}), sources)


def test_many_problems_are_counted(sources):
    codec = dict.fromkeys(sources["codec"].tensors, torch.ones(1, 2, 3, 4, 5))
    with refused("'encoder.block.0.bias' has shape 1x2x3x4x5", f"; and {528 - MOST_SHOWN} more"):
        moved("codec", with_tensors(sources["codec"], codec), sources)


# --- What the weights become


@FILES
def test_weights_equal_a_float64_computation(name, sources):
    """By a table of names of its own: enough of each kind to notice a part that went elsewhere."""
    module, _ = moved(name, sources[name], sources)
    ours, theirs = weights(module), {key: tensor.double() for key, tensor in sources[name].tensors.items()}

    def normed(prefix):
        v = theirs[f"{prefix}.weight_v"]
        return theirs[f"{prefix}.weight_g"] * v / (v**2).sum(tuple(range(1, v.dim())), keepdim=True).sqrt()

    def adapted(prefix):
        weight = theirs[f"{prefix}.weight"]
        if f"{prefix}.lora_A" not in theirs:
            return weight
        return weight + theirs[f"{prefix}.lora_B"] @ theirs[f"{prefix}.lora_A"] / 8

    if name == "codec":
        expected = {
            "encoder.conv_in.weight": normed("encoder.block.0"),
            "encoder.stages.2.layers.1.conv_2.weight": normed("encoder.block.3.block.1.block.3"),
            "encoder.stages.3.downsample.weight": normed("encoder.block.4.block.4"),
            "encoder.conv_out.bias": theirs["encoder.block.6.bias"],
            "quantizer.quantizers.5.in_proj.weight": normed("quantizer.quantizers.5.in_proj"),
            "quantizer.quantizers.13.codebook": theirs["quantizer.quantizers.13.codebook.weight"],
            "decoder.stages.1.upsample.weight": normed("decoder.model.2.block.1"),
            "decoder.stages.0.mix.stacks.2.1.conv_1.weight": normed(
                "decoder.model.1.block.2.mrf_blocks.2.block.1.layer.1"
            ),
            "decoder.stages.3.mix.stacks.1.2.snake_2.alpha": theirs[
                "decoder.model.4.block.2.mrf_blocks.1.block.2.layer.2.alpha"
            ],
            "decoder.snake.alpha": theirs["decoder.model.5.alpha"],
            "decoder.conv_out.weight": normed("decoder.model.6"),
        }
    else:
        layer = "transformer.layers.1"
        tables = [
            sources["codec"].tensors[f"quantizer.quantizers.{i}.codebook.weight"]
            for i in range(module.config.n_codebooks)
        ]
        masks = theirs["embedding.special.MASK"]
        expected = {
            "embedding.table": torch.cat([part for pair in zip(tables, masks[:, None]) for part in pair]),
            "embedding.out_proj.weight": theirs["embedding.out_proj.weight"][..., 0],
            "position_bias.weight": theirs["transformer.layers.0.self_attn.relative_attention_bias.weight"],
            "layers.1.norm_3.weight": theirs[f"{layer}.norm_3.weight"],
            **{f"layers.1.{part}.weight": adapted(f"{layer}.{part}") for part in PROJECTIONS},
            "norm.weight": theirs["transformer.norm.weight"],
            "classifier.weight": normed("classifier.layers.0")[..., 0],
            "classifier.bias": theirs["classifier.layers.0.bias"],
        }  # fmt: skip
    for target, value in expected.items():
        assert ours[target].dtype == torch.float32
        torch.testing.assert_close(
            ours[target], value.float(), rtol=2e-7, atol=1e-9, msg=lambda m, target=target: f"{target}: {m}"
        )


@FILES
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 0)]
)
def test_other_precisions(name, sources, dtype, tolerance):
    stored = {key: tensor.to(dtype) for key, tensor in sources[name].tensors.items()}
    module, report = moved(name, with_tensors(sources[name], stored), sources)
    expected = weights(moved(name, sources[name], sources)[0])
    assert all(weight.dtype == torch.float32 for weight in weights(module).values())
    for target, weight in weights(module).items():
        assert (weight - expected[target]).abs().max() <= tolerance * expected[target].abs().max() + 1e-12, (
            target
        )
    assert {row.status for row in report.rows} <= {"exact", "close", "unused"}


def test_float64_weights_that_float32_cannot_hold(sources):
    bias = sources["coarse"].tensors["classifier.layers.0.bias"].double()
    bias[0] += 1e-9
    _, report = moved("coarse", with_tensors(sources["coarse"], {"classifier.layers.0.bias": bias}), sources)
    row = next(row for row in report.rows if row.target == "classifier.bias")
    assert row.status == "close" and 0 < row.difference < 1e-8  # rounded: not the same bits
    bias[0] = 1e300
    with refused("'classifier.layers.0.bias'", "infinite"):
        moved("coarse", with_tensors(sources["coarse"], {"classifier.layers.0.bias": bias}), sources)


# --- Weight norm


def respelled(checkpoint, spelling, only=lambda prefix: True, keep_old=False):
    """The checkpoint with weight norm spelled otherwise; `spelling` None: folded into plain weights."""
    tensors = dict(checkpoint.tensors)
    for prefix in [name.removesuffix(f".{OLD[0]}") for name in tensors if name.endswith(OLD[0])]:
        if only(prefix):
            take = tensors.get if keep_old else tensors.pop
            gain, direction = take(f"{prefix}.{OLD[0]}"), take(f"{prefix}.{OLD[1]}")
            if spelling is None:
                length = direction.double().flatten(1).norm(dim=1).reshape(gain.shape)
                tensors[f"{prefix}.weight"] = (gain.double() * direction.double() / length).float()
            else:
                tensors |= {f"{prefix}.{spelling[0]}": gain, f"{prefix}.{spelling[1]}": direction}
    return dataclasses.replace(checkpoint, tensors=tensors)


@FILES
@pytest.mark.parametrize("spelling", [NEW, None], ids=["parametrizations", "plain"])
@pytest.mark.parametrize("only", [lambda prefix: True, lambda prefix: len(prefix) % 2], ids=["all", "some"])
def test_spellings_of_weight_norm(name, sources, spelling, only):
    module, report = moved(name, respelled(sources[name], spelling, only), sources)
    assert same(weights(module), weights(moved(name, sources[name], sources)[0]))


@pytest.mark.parametrize("spelling", [NEW, None], ids=["parametrizations", "plain"])
def test_one_layer_in_two_spellings_is_refused(sources, spelling):
    checkpoint = respelled(
        sources["codec"], spelling, lambda prefix: prefix == "decoder.model.0", keep_old=True
    )
    with refused("'decoder.model.0."):
        moved("codec", checkpoint, sources)


def test_half_of_one_spelling_and_half_of_another_is_refused(sources):
    gain, direction = (f"classifier.layers.0.{part}" for part in (OLD[0], NEW[1]))
    tensor = sources["c2f"].tensors[f"classifier.layers.0.{OLD[1]}"]
    checkpoint = with_tensors(sources["c2f"], {direction: tensor}, without=[f"classifier.layers.0.{OLD[1]}"])
    with refused(f"'classifier.layers.0.{OLD[1]}' is missing", f"'{direction}' is not part of"):
        moved("c2f", checkpoint, sources)
    assert gain in checkpoint.tensors


def test_a_direction_of_length_zero_is_refused_by_name(sources):
    direction = sources["codec"].tensors["encoder.block.0.weight_v"].clone()
    direction[0] = 0
    with refused("'encoder.block.0.weight_g' and 'encoder.block.0.weight_v'", "NaN"):
        moved("codec", with_tensors(sources["codec"], {"encoder.block.0.weight_v": direction}), sources)


# --- LoRA


def without_lora(checkpoint):
    return with_tensors(
        checkpoint, without=[name for name in checkpoint.tensors if name.endswith(LORA_ENDINGS)]
    )


@pytest.mark.parametrize("base", [lambda checkpoint: checkpoint, without_lora], ids=["with", "without"])
def test_an_overlay_takes_the_place_of_what_the_base_has(sources, base):
    lora = overlay(sources["coarse"])
    module, report = moved("coarse", base(sources["coarse"]), sources, [lora])
    inside = with_tensors(sources["coarse"], lora.tensors)
    assert same(weights(module), weights(moved("coarse", inside, sources)[0]))
    assert not same(weights(module), weights(moved("coarse", sources["coarse"], sources)[0]))


def test_a_partial_overlay_leaves_the_rest(sources):
    module, report = moved(
        "coarse", sources["coarse"], sources, [overlay(sources["coarse"], lambda name: name.startswith(QS))]
    )
    before = weights(moved("coarse", sources["coarse"], sources)[0])
    changed = [name for name, weight in weights(module).items() if not torch.equal(weight, before[name])]
    assert changed == ["layers.0.self_attn.w_qs.weight"]
    replaced = {row.sources for row in report.unused if "other.pth" in row.how}
    assert replaced == {(f"coarse.pth:{QS}{ending}",) for ending in LORA_ENDINGS}


def test_the_last_overlay_wins(sources):
    first, second = (
        overlay(sources["coarse"], path="first.pth", scale=3.0),
        overlay(sources["coarse"], path="second.pth"),
    )
    module, report = moved("coarse", without_lora(sources["coarse"]), sources, [first, second])
    assert same(weights(module), weights(moved("coarse", sources["coarse"], sources, [second])[0]))
    assert {row.how for row in report.unused if "codebook" not in row.sources[0]} == {
        "replaced by second.pth"
    }
    assert len(report.sources) == len(set(report.sources))


def test_any_rank_folds(sources):
    for rank in (1, 4, 16):
        down, up = torch.randn(rank, 64), torch.randn(64, rank)
        lora = Checkpoint(Path("rank.pth"), {f"{QS}.lora_A": down, f"{QS}.lora_B": up}, {})
        module, _ = moved("coarse", sources["coarse"], sources, [lora])
        expected = sources["coarse"].tensors[f"{QS}.weight"].double() + up.double() @ down.double() / rank
        torch.testing.assert_close(
            module.layers[0].self_attn.w_qs.weight, expected.float(), rtol=1e-6, atol=1e-6
        )


def test_rank_zero_is_refused(sources):
    lora = Checkpoint(
        Path("zero.pth"), {f"{QS}.lora_A": torch.ones(0, 64), f"{QS}.lora_B": torch.ones(64, 0)}, {}
    )
    with refused(f"'{QS}.lora_A' has shape 0x64"):
        moved("coarse", sources["coarse"], sources, [lora])


@TRANSFORMERS
def test_half_a_pair_is_refused_by_name(name, sources):
    full = overlay(sources[name]).tensors
    assert len(full) >= 10
    for one in full:
        rest = {other: tensor for other, tensor in full.items() if other != one}
        with refused("half.pth", f"'{one}' is missing"):
            moved(name, sources[name], sources, [Checkpoint(Path("half.pth"), rest, {})])
        with refused(f"{name}.pth", f"'{one}' is missing"):
            moved(name, with_tensors(sources[name], rest, without=[one]), sources)


def test_an_overlay_is_named_when_it_fits_nowhere(sources):
    for tensors, culprit in (
        ({"x.lora_A": torch.ones(8, 2), "x.lora_B": torch.ones(2, 8)}, "x.lora_A"),
        ({f"{QS}.lora_A": torch.ones(8, 64), f"{QS}.lora_B": torch.ones(63, 8)}, f"{QS}.lora_B"),
        ({f"{QS}.lora_A": torch.ones(8)}, f"{QS}.lora_A"),
        ({"new\nline.lora_A": torch.ones(8, 2)}, r"new\nline.lora_A"),
    ):
        with refused("other.pth", f"'{culprit}'", "fits neither"):
            assign_loras(sources, [Checkpoint(Path("other.pth"), tensors, {})])


def test_each_overlay_finds_its_transformer(sources):
    both, third_layer = overlay(sources["coarse"]), lambda name: "layers.2" in name
    of_c2f = overlay(sources["coarse"], lambda name: "layers.2" not in name)  # as many layers as c2f has
    only_coarse = overlay(sources["coarse"], third_layer)
    part = overlay(sources["coarse"], lambda name: name.startswith(QS))
    named = dataclasses.replace(part, path=Path("my_C2F_lora.pth"))
    assert assign_loras(sources, [both, of_c2f, only_coarse, named]) == {
        "coarse": [both, only_coarse],
        "c2f": [of_c2f, named],
    }
    with refused("other.pth", "fits both"):
        assign_loras(sources, [part])
    with refused("coarse.pth", "whole checkpoint"):
        assign_loras(sources, [sources["coarse"]])


def test_an_overlay_does_not_stand_alone(sources):
    with refused("other.pth", "LoRA"):
        moved("coarse", overlay(sources["coarse"]), sources)


def test_loading_with_an_overlay_from_a_file(golden_dir, sources, tmp_path):
    torch.save(overlay(sources["coarse"]).tensors, tmp_path / "lora.pth")
    models = transfer.load_models(golden_dir, [tmp_path / "lora.pth"])
    assert same(
        weights(models.coarse),
        weights(moved("coarse", sources["coarse"], sources, [overlay(sources["coarse"])])[0]),
    )
    assert models.loras["coarse"][0].path == tmp_path / "lora.pth" and models.loras["c2f"] == []


# --- Other models, and files in each other's places


@pytest.mark.parametrize("name", ["transformer.layers.0.self_attn.Wqkv.weight", "ctrl_encoder.0.weight"])
def test_other_architectures_are_refused_by_name(sources, name):
    with refused("coarse.pth", f"'{name}'", "no layer for it"):
        moved("coarse", with_tensors(sources["coarse"], {name: torch.ones(1)}), sources)


def test_files_in_the_place_of_others(sources):
    with refused("codec.pth", "not a transformer"):
        moved("coarse", sources["codec"], sources)
    with refused("coarse.pth", "not a codec"):
        transfer_codec(sources["coarse"])
    with refused("coarse.pth", "reads 4 codebooks", "has 0"):
        transfer_vampnet(sources["coarse"], sources["coarse"])


def test_a_file_that_does_not_say_its_shape(sources):
    bare = dataclasses.replace(sources["coarse"], metadata={})
    with refused("coarse.pth", "metadata has no 'n_heads'"):
        moved("coarse", bare, sources)


def test_transformers_in_each_others_places(sources):
    codec, coarse, c2f = (moved(name, sources[name], sources)[0].config for name in NAMES)
    assert pipeline_spec(codec, coarse, c2f).n_coarse_codebooks == 4
    for wrong in ((c2f, coarse), (c2f, c2f), (coarse, coarse)):
        with refused("checkpoint under the name"):
            pipeline_spec(codec, *wrong)


@pytest.mark.parametrize("make", [
    lambda table: table[:-1],
    lambda table: table[:, :-1],
    lambda table: torch.cat([table, table]),
], ids=["vocabulary", "width", "double"])  # fmt: skip
def test_a_codec_of_another_size(sources, make):
    name = "quantizer.quantizers.1.codebook.weight"
    codec = with_tensors(sources["codec"], {name: make(sources["codec"].tensors[name])})
    with refused("c2f.pth", f"'{CODEC}{name}' has shape"):
        transfer_vampnet(sources["c2f"], codec)


def test_a_codec_with_too_few_codebooks(sources):
    codec = with_tensors(sources["codec"], without=["quantizer.quantizers.13.codebook.weight"])
    with refused("c2f.pth", "reads 14 codebooks", "codec.pth has 13"):
        transfer_vampnet(sources["c2f"], codec)


# --- The metadata


ABSURD = [
    0,
    -1,
    2**20 + 1,
    10**9,
    2**64,
    -(10**600),
    10**5000,
    1.5,
    float("nan"),
    True,
    "3",
    b"3",
    [3],
    {},
    torch.ones(3),
    [[[]]] * 9,
]


def needed(name):
    always = {"codec": ["encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates", "n_codebooks",
                        "codebook_size", "codebook_dim", "sample_rate"]}  # fmt: skip
    return always.get(name, ["n_heads", "n_layers", "n_codebooks", "embedding_dim"])


LISTS = ("encoder_rates", "decoder_rates", "codebook_dim")


@FILES
def test_absurd_metadata_is_refused_by_name(name, sources):
    for key in needed(name):
        without = with_kwargs(sources[name])
        del without.kwargs[key]
        for checkpoint in (without, with_kwargs(sources[name], **{key: None})):
            with refused(f"{name}.pth", f"'{key}'"):
                moved(name, checkpoint, sources)
        for value in ABSURD:
            if type(value) is list and key in LISTS:
                continue  # absurd lists have a test of their own
            with refused(f"{name}.pth", f"'{key}'"):
                moved(name, with_kwargs(sources[name], **{key: value}), sources)


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("value", [
    [], [0], [2, 4, 8, -12], [2, 4, 8, 12.0], [2, 4, 8, True], [2, 4, 8, "12"], [[2]],
    [2, 4, 8, None], [2] * 65, [2**21], [2, 4, 8, 10**5000], "2,4", {"a": 1},
])  # fmt: skip
def test_absurd_lists_are_refused_by_name(sources, key, value):
    with refused("codec.pth", f"'{key}'"):
        moved("codec", with_kwargs(sources["codec"], **{key: value}), sources)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value] * 8
    return value


def test_values_that_are_long_to_write_out(sources):
    """Eight lists of the same eight lists, and so on: a few bytes in a file, no end of them in a message."""
    endless = []
    endless.append(endless)
    for value in (nested(60), endless, "x" * 10**7, ["x" * 10**7], torch.ones(1000, 1000)):
        with refused("coarse.pth", "'n_layers'"):
            moved("coarse", with_kwargs(sources["coarse"], n_layers=value), sources)


@FILES
def test_optional_metadata(name, sources):
    """What older and newer releases add is ignored; what they leave out has its default."""
    kwargs = {key: value for key, value in sources[name].kwargs.items() if key in needed(name)}
    if name != "codec":
        kwargs |= {
            "vocab_size": 128,
            "n_conditioning_codebooks": sources[name].kwargs["n_conditioning_codebooks"],
        }
    few = dataclasses.replace(sources[name], metadata={"kwargs": kwargs})
    many = with_kwargs(sources[name], something_new={"a": [1]}, **{"not a name": None, "flash_attn": None})
    expected = weights(moved(name, sources[name], sources)[0])
    for checkpoint in (few, many):
        assert same(weights(moved(name, checkpoint, sources)[0]), expected)


@FILES
@pytest.mark.parametrize("change", [1, -1])
def test_metadata_and_tensors_that_disagree(name, sources, change):
    for key, value in sources[name].kwargs.items():
        if key in ("r_cond_dim", "sample_rate") or type(value) is not int or key.startswith(("cond", "ctrl")):
            continue  # not seen in the tensors
        if key == "n_heads":  # must divide the width: the size of the position bias tells
            change *= 2
        with refused(f"{name}.pth"):
            moved(name, with_kwargs(sources[name], **{key: value + change}), sources)


def test_a_condition_is_refused(sources):
    with refused("r_cond_dim"):
        moved("coarse", with_kwargs(sources["coarse"], r_cond_dim=16), sources)


CLAIMS = """
    import resource, sys
    from dataclasses import replace

    from helpers import checkpoints
    from helpers.support.errors import InputError
    from helpers.vampnet import weights as transfer
    from helpers.vampnet.files import NAMES

    sources = {name: checkpoints.read(f"{sys.argv[1]}/{name}.pth") for name in NAMES}
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), -1))
    big = 1 << 20
    for name, claims in [
        ("coarse", dict(n_layers=10**9)), ("coarse", dict(n_layers=big)),
        ("coarse", dict(n_layers=62, embedding_dim=big)), ("c2f", dict(embedding_dim=big)),
        ("c2f", dict(vocab_size=big, n_codebooks=big)), ("c2f", dict(latent_dim=big)),
        ("c2f", dict(n_heads=big, embedding_dim=big)), ("codec", dict(decoder_dim=big)),
        ("codec", dict(encoder_dim=big)), ("codec", dict(n_codebooks=big)),
        ("codec", dict(codebook_size=big)), ("codec", dict(codebook_dim=big)),
        ("codec", dict(codebook_dim=[big] * 14)), ("codec", dict(latent_dim=big)),
        ("codec", dict(encoder_rates=[big] * 4, decoder_rates=[big] * 4)),
        ("codec", dict(encoder_rates=[2] * 64, decoder_rates=[2**20] * 3 + [16])),
        ("codec", dict(encoder_dim=big, encoder_rates=[1] * 64, decoder_rates=[1], latent_dim=8)),
        ("codec", dict(decoder_dim=big, encoder_rates=[big] * 20, decoder_rates=[big] * 20)),
    ]:
        checkpoint = replace(sources[name], metadata={"kwargs": sources[name].kwargs | claims})
        try:
            if name == "codec":
                transfer.transfer_codec(checkpoint)
            else:
                transfer.transfer_vampnet(checkpoint, sources["codec"])
        except InputError as error:
            assert str(error).isprintable(), error
        else:
            raise AssertionError(claims)
    print("all refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_gigantic_claims_take_no_memory(golden_dir):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLAIMS), golden_dir],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "all refused\n", result.stderr


# --- The report


@FILES
def test_every_source_appears_once(name, sources):
    module, report = moved(name, sources[name], sources)
    tables = (
        [f"{CODEC}quantizer.quantizers.{i}.codebook.weight" for i in range(14)] if name != "codec" else []
    )
    assert sorted(report.sources) == sorted([*sources[name].tensors, *tables])
    targets = [row.target for row in report.rows if row.target]
    assert sorted(targets) == sorted(weights(module))
    assert all(row.shape == tuple(weights(module)[row.target].shape) for row in report.rows if row.target)
    assert all(row.how for row in report.rows)
    assert [row.status for row in report.unused] == ["unused"] * (10 if name == "coarse" else 0)
    assert report.largest_difference < 1e-6
    folded = {"exact", "close"}
    expected = {"copied": {"exact"}, "codec tables and MASK joined": {"exact"}, "weight norm folded": folded,
                "LoRA folded": folded, "of a codebook this model does not read": {"unused"}}  # fmt: skip
    assert all(row.status in expected[row.how] for row in report.rows)


def test_a_wrong_copy_is_noticed(sources, monkeypatch):
    """The report measures what was copied: here the rounding to float32 goes by way of float16."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.half().to(torch.float32))
    with refused("coarse.pth", "'embedding.table' differs from its source"):
        moved("coarse", sources["coarse"], sources)


@FILES
def test_the_report_prints(name, sources):
    report = moved(name, sources[name], sources)[1]
    lines = str(report).splitlines()
    assert len(lines) == len(report.rows) + 3 and lines[0].split() == list(TransferReport.headings)
    assert all(line.isprintable() and len(line) <= 170 for line in lines)
    n = len(report.sources)
    assert lines[-1].startswith(f"{name}.pth: {n} of {n} tensors accounted for (")
    assert "\n" not in report.summary()

    class Cells(html.parser.HTMLParser):
        texts, open_tags = [], []

        def handle_starttag(self, tag, attrs):
            self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

        def handle_data(self, data):
            self.texts.append(data)

    parser = Cells()
    parser.texts, parser.open_tags = [], []
    parser.feed(report._repr_html_())
    assert not parser.open_tags and report.summary() in parser.texts
    for row in report.rows:
        assert row.target == "" or row.target in parser.texts


def test_sources_stay_as_they_were(sources):
    before = {name: copy.deepcopy(checkpoint.tensors) for name, checkpoint in sources.items()}
    for name in sources:
        moved(name, sources[name], sources)
        assert same(before[name], sources[name].tensors)
