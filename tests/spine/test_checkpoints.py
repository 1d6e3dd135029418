"""Reading files that strangers made: the real format in all its spellings, and everything that is not it."""

import collections
import datetime
import io
import os
import random
import subprocess
import sys
import textwrap
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn

from helpers.checkpoints import read
from helpers.support.files import ROOT

LEGACY = {"_use_new_zipfile_serialization": False}  # what PyTorch before 1.6 wrote
FORMATS = pytest.mark.parametrize("form", [{}, LEGACY], ids=["zip", "legacy"])


@pytest.fixture(scope="module")
def coarse(golden_dir):
    """The content of a real checkpoint."""
    return torch.load(golden_dir / "coarse.pth", weights_only=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.pth"


def small(tensor=None, **metadata):
    """The content of the smallest checkpoint that reads."""
    tensor = torch.ones(2) if tensor is None else tensor
    return {"state_dict": {"some.weight": tensor}, "metadata": {"kwargs": {}, **metadata}}


def repacked(path, change=lambda content: content, compression=zipfile.ZIP_STORED):
    """Write the archive anew, its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)


# --- What is a checkpoint


@pytest.mark.parametrize("name, n_tensors", [("codec", 528), ("coarse", 62), ("c2f", 44)])
def test_a_real_file(golden_dir, name, n_tensors):
    checkpoint = read(golden_dir / f"{name}.pth")
    assert len(checkpoint.tensors) == n_tensors and not checkpoint.is_lora
    assert checkpoint.kwargs["n_codebooks"] == (4 if name == "coarse" else 14)
    assert checkpoint.metadata["note"] == "random weights, reference layout"


@FORMATS
@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_formats_and_containers(coarse, path, form, kind):
    torch.save({"state_dict": kind(coarse["state_dict"]), "metadata": coarse["metadata"]}, path, **form)
    checkpoint = read(path)
    assert checkpoint.kwargs == coarse["metadata"]["kwargs"]
    assert list(checkpoint.tensors) == list(coarse["state_dict"])
    assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in coarse["state_dict"].items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_stay_as_stored(path, dtype):
    torch.save(small(torch.tensor([1.5, -0.25], dtype=dtype)), path)
    tensor = read(path).tensors["some.weight"]
    assert tensor.dtype == dtype and tensor.tolist() == [1.5, -0.25]


def test_parameters_come_without_gradient(path):
    torch.save(small(nn.Parameter(torch.ones(2))), path)
    tensor = read(path).tensors["some.weight"]
    assert type(tensor) is torch.Tensor and not tensor.requires_grad


def test_an_overlay_is_a_bare_dict_of_lora_matrices(path):
    torch.save({"a.lora_A": torch.ones(8, 2), "a.lora_B": torch.ones(2, 8)}, path)
    assert read(path).is_lora and read(path).kwargs == {}


def test_pickle_protocols(coarse, path):
    torch.save(coarse, path, pickle_protocol=3)
    assert len(read(path).tensors) == 62
    for protocol in (4, 5):
        torch.save(coarse, path, pickle_protocol=protocol)
        with refused(str(path), "pickle protocol"):
            read(path)


# --- Logs and numpy scalars in the metadata


def default_list():
    """Stands for the function of the same name in audiotools."""
    return []


@pytest.fixture
def audiotools(monkeypatch):
    """A library that need not be installed where the file is read, but is where it is written."""
    for name in ("audiotools", "audiotools.ml", "audiotools.ml.decorators"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(default_list, "__module__", "audiotools.ml.decorators")
    sys.modules["audiotools.ml.decorators"].default_list = default_list
    return default_list


SCALARS = [
    np.float64(1.5),
    np.float32(-0.25),
    np.float16(2),
    np.int64(-7),
    np.uint8(200),
    np.bool_(True),
    np.bool_(False),
]


@FORMATS
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_logs_are_plain_data(path, audiotools, form, module):
    logs = collections.defaultdict(audiotools, {"loss": SCALARS})
    logs["nested"] = [{"lists": collections.defaultdict(list, {"x": [np.float64(np.inf)]})}, np.int32(3)]
    torch.save(small(logs=logs, dicts=collections.defaultdict(dict), step=np.int64(10**12)), path, **form)
    if form == LEGACY:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", module))
    else:
        repacked(path, lambda content: content.replace(b"numpy._core.multiarray", module))
    metadata = read(path).metadata
    assert metadata["logs"]["loss"] == [scalar.item() for scalar in SCALARS]
    assert [type(value) for value in metadata["logs"]["loss"]] == [float, float, float, int, int, bool, bool]
    assert metadata["logs"]["nested"] == [{"lists": {"x": [float("inf")]}}, 3]
    assert metadata["dicts"] == {} and metadata["step"] == 10**12
    assert type(metadata["logs"]) is dict


@FORMATS
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_arrays_of_a_sampler_are_let_go(path, form, module):
    sampler = {
        "indexes": np.arange(1000),
        "queue": [np.ones((2, 3), np.float32)],
        "names": np.array(["a", None]),
    }
    content = {"model": small()["state_dict"], "sampler": sampler, "iteration": 3}
    torch.save(content, path, **form)
    if form == LEGACY:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", module))
    else:
        repacked(path, lambda content: content.replace(b"numpy._core.multiarray", module))
    checkpoint = read(path)
    assert checkpoint.tensors.keys() == content["model"].keys() and checkpoint.metadata == {}


def test_a_count_of_steps_may_be_whole(path):
    counted = {"norm.num_batches_tracked": torch.tensor(7), "norm.weight": torch.ones(1)}
    torch.save({"state_dict": counted}, path)
    assert read(path).tensors["norm.num_batches_tracked"] == 7
    for name, value in (("norm.num_batches_tracked", torch.tensor([7])), ("norm.steps", torch.tensor(7))):
        torch.save({"state_dict": {name: value}}, path)
        with refused(name, "int64"):
            read(path)


@pytest.mark.parametrize(
    "scalar", [np.str_("x"), np.datetime64("2020"), np.void(b"12345678"), np.complex64(1)]
)
def test_other_scalars_are_refused(path, scalar):
    torch.save(small(log=scalar), path)
    with refused(str(path)):
        read(path)


# --- Pickles that would do something else


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize("place", ["state_dict", "metadata", "top"])
@pytest.mark.parametrize("function, name", [
    (os.system, f"{os.system.__module__}.system"),
    (eval, "eval"),
    (open, "open"),
    (subprocess.Popen, "Popen"),  # by its name of Python 2
    (getattr, "getattr"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_nothing_is_run(path, tmp_path, form, place, function, name):
    marker = tmp_path / "marker"
    arguments = {
        os.system: [f"echo > {marker}"],
        eval: [f"open({str(marker)!r}, 'w')"],
        open: [str(marker), "w"],
        subprocess.Popen: [["touch", str(marker)]],
        getattr: [1, "real"],
    }[function]
    content, call = small(), Call(function, *arguments)
    if place == "top":
        content = call
    else:
        content[place]["x"] = call
    torch.save(content, path, **form)
    with refused(str(path), name, "refused"):
        read(path)
    assert not marker.exists()


@pytest.mark.parametrize("value, name", [
    (datetime.date(2020, 1, 1), "datetime.date"),
    (np.random.default_rng(0), "generator_ctor"),
    (np.array([len], object), "len"),
    (len, "len"),
    (nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    (collections.deque(), "collections.deque"),
])  # fmt: skip
def test_other_names_are_refused_by_name(path, value, name):
    torch.save(small(value=value), path)
    with refused(str(path), name, "refused"):
        read(path)


@pytest.mark.parametrize("attribute", ["get", "items", "keys", "update"])
def test_attributes_that_a_pickle_sets_are_dropped(coarse, path, attribute):
    placeholder = "?" * len(attribute)  # torch.save itself would stumble over the real name

    def poisoned(mapping):
        mapping = collections.OrderedDict(mapping)
        mapping.__dict__[placeholder] = 5
        return mapping

    metadata = poisoned(coarse["metadata"] | {"kwargs": poisoned(coarse["metadata"]["kwargs"])})
    torch.save(poisoned({"state_dict": poisoned(coarse["state_dict"]), "metadata": metadata}), path)
    repacked(path, lambda content: content.replace(placeholder.encode(), attribute.encode()))
    checkpoint = read(path)
    assert checkpoint.kwargs == coarse["metadata"]["kwargs"] and checkpoint.kwargs.get("n_layers") == 3
    assert list(checkpoint.tensors) == list(coarse["state_dict"])


# --- Content that is not a checkpoint


@pytest.mark.parametrize("content, reason", [
    ([1, 2], "list"),
    (torch.ones(3), "Tensor"),
    (None, "NoneType"),
    ({}, "no named tensors"),
    ({"state_dict": None}, "no named tensors"),
    ({"state_dict": {}}, "no named tensors"),
    ({"state_dict": {1: torch.ones(1)}}, "no named tensors"),
    ({"state_dict": {("a", "b"): torch.ones(1)}}, "no named tensors"),
    ({"state_dict": {"a": 1.5}}, "'a'"),
    ({"state_dict": {"a": [torch.ones(1)]}}, "'a'"),
])  # fmt: skip
@FORMATS
def test_other_content(path, form, content, reason):
    torch.save(content, path, **form)
    with refused(str(path), reason):
        read(path)


@pytest.mark.parametrize("content", [
    {"a": torch.ones(1)},
    {"state_dict": {"a": torch.ones(1)}},
    {"state_dict": {"a": torch.ones(1)}, "metadata": None},
    {"state_dict": {"a": torch.ones(1)}, "metadata": {"kwargs": [1]}},
])  # fmt: skip
def test_what_says_nothing_of_its_model_is_read_all_the_same(path, content):
    torch.save(content, path)
    assert list(read(path).tensors) == ["a"] and read(path).kwargs == {}


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


@pytest.mark.parametrize("make", [
    lambda: torch.ones(2, dtype=torch.int64),
    lambda: torch.ones(2, dtype=torch.bool),
    lambda: torch.ones(2, dtype=torch.complex64),
    lambda: torch.ones(2).to(torch.float8_e4m3fn),
    lambda: torch.ones(2, device="meta"),
    lambda: torch.eye(3).to_sparse(),
    nested,
    quantized,
], ids=["int", "bool", "complex", "float8", "meta", "sparse", "nested", "quantized"])  # fmt: skip
def test_only_dense_floating_point_tensors(path, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TypedStorage, while the quantized one is written
        torch.save(small(make()), path)
    with refused(str(path), "'some.weight'"):
        read(path)


def test_a_name_cannot_break_the_line(path):
    torch.save({"state_dict": {"a\n\x1b[31mb" + "c" * 10_000: torch.ones(1, dtype=torch.int64)}}, path)
    with refused(r"'a\n\x1b[31mb"):
        read(path)


@FORMATS
@pytest.mark.parametrize("size, stride", [
    ((1 << 20, 1 << 20), (1 << 20, 1)),
    ((1 << 20, 1 << 20), (0, 0)),
    ((1 << 62,), (1,)),
    ((-5,), (1,)),
    ((5,), (-1,)),
])  # fmt: skip
def test_a_shape_larger_than_the_file(path, form, size, stride):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TypedStorage
        storage = torch.ones(4).storage()
        rebuild = Call(
            torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, collections.OrderedDict()
        )
        torch.save(small(rebuild), path, **form)
    with refused(str(path)):
        read(path)


# --- Files that are not what they should be


def test_no_such_file(tmp_path):
    for wrong in (tmp_path / "missing.pth", tmp_path, tmp_path / "file" / "below", tmp_path / ("x" * 5000)):
        with refused(str(tmp_path)):
            read(wrong)


@pytest.mark.parametrize("content", [
    b"", b"\x00", b"P", b"PK\x03\x04", b"\x80\x02", b"\x80\x02.",
    b"<!DOCTYPE html><html>404</html>",
    b"Some text.\n" * 500,
    bytes(100_000), random.Random(0).randbytes(5000),
])  # fmt: skip
def test_other_files(path, content):
    path.write_bytes(content)
    with refused(str(path)):
        read(path)


@FORMATS
def test_truncated_anywhere(coarse, path, form):
    torch.save(coarse, path, **form)
    whole = path.read_bytes()
    lengths = {
        *range(0, len(whole), len(whole) // 40),
        *range(0, 300, 7),
        *range(len(whole) - 100, len(whole), 9),
    }
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with refused(str(path)):
            read(path)


def test_archives_of_another_kind(golden_dir, path, tmp_path):
    path.write_bytes((golden_dir / "coarse.pth").read_bytes())
    repacked(path)
    assert len(read(path).tensors) == 62  # another tool's archive of the same entries is as good
    repacked(path, compression=zipfile.ZIP_DEFLATED)
    with refused(str(path), "compressed"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(golden_dir / "coarse.pth", "coarse.pth")
    with refused(str(path)):
        read(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with refused(str(path)):
        read(path)


def test_a_torchscript_program(path):
    class Identity(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that scripting is deprecated
        torch.jit.script(Identity()).save(str(path))
    with refused(str(path), "TorchScript"):
        read(path)


def test_entry_names_that_point_elsewhere(tmp_path, path):
    pickled = io.BytesIO()
    torch.save(small(), pickled)
    with zipfile.ZipFile(pickled) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"../../{name}", content)
        archive.writestr("../escaped", b"x")
        archive.writestr("/tmp/../escaped", b"x")
    before = sorted(tmp_path.parent.iterdir())
    with refused(str(path)):
        read(path)
    assert sorted(tmp_path.parent.iterdir()) == before and list(tmp_path.iterdir()) == [path]


FLIPS = """
    import random, sys, zipfile
    from pathlib import Path

    import torch
    from helpers import checkpoints
    from helpers.support.errors import InputError
    from helpers.vampnet import weights as transfer

    torch.set_num_threads(1)
    source, codec, work, seed, n = sys.argv[1:]
    whole, work, rng = Path(source).read_bytes(), Path(work), random.Random(int(seed))
    codec = checkpoints.read(codec)
    regions = [(0, len(whole)), (0, 20_000)]
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            regions += [(entry.header_offset, entry.header_offset + 80) for entry in archive.infolist()[:3]]
            regions += [(archive.start_dir, len(whole))] * 3
    read = 0
    for _ in range(int(n)):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3])):
            place = rng.randrange(*rng.choice(regions))
            damaged[place] = rng.choice([0, 255, damaged[place] ^ 1 << rng.randrange(8)])
        work.write_bytes(damaged)
        try:
            checkpoint = checkpoints.read(work)
            read += 1
            transfer.transfer_vampnet(checkpoint, codec)
        except InputError as error:
            assert str(error).isprintable(), repr(str(error))
    print(read)
"""


@FORMATS
def test_flipped_bytes(golden_dir, coarse, tmp_path, form):
    """In another process, because a damaged archive must not crash the interpreter either."""
    source = tmp_path / "whole.pth"
    torch.save(coarse, source, **form)
    n = 120
    arguments = [source, golden_dir / "codec.pth", tmp_path / "damaged.pth", "7", str(n)]
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FLIPS), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert 0 < int(result.stdout) < n  # some damage is in the weights, some in the structure


# --- What wrappers put in front of every name


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "ema_model.", "module._orig_mod.", "_orig_mod.module."]
)
def test_what_begins_every_name_is_left_out_and_said(path, prefix):
    torch.save({f"{prefix}a.weight": torch.ones(2), f"{prefix}b": torch.zeros(1)}, path)
    checkpoint = read(path)
    assert set(checkpoint.tensors) == {"a.weight", "b"} and checkpoint.prefix == prefix
    assert repr(prefix) in checkpoint.called and path.name in checkpoint.called


@pytest.mark.parametrize(
    "names", [["module.a", "b"], ["modules.a", "modules.b"], ["module.a", "ema_model.a"], ["module"]]
)
def test_what_begins_only_some_or_is_no_wrappers_stays(path, names):
    torch.save({name: torch.ones(2) for name in names}, path)
    checkpoint = read(path)
    assert set(checkpoint.tensors) == set(names) and checkpoint.called == path.name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_path_that_is_no_text_is_named(tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff.pth")
    torch.save(small(), tmp_path / "some.pth")
    os.rename(tmp_path / "some.pth", odd)
    with refused("not UTF-8"):
        read(odd)
