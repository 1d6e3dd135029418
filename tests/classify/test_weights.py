"""Checkpoints of PANNs: what is read, what is refused and by which name, what strangers write."""

import os
import shutil

import numpy as np
import pytest
import torch
from fabricate_classify import GOLDEN, random_classifier, shape, sound, write_panns
from refusals import refused

from helpers import rooms
from helpers.classify import files
from helpers.classify.graphs import export_bundle
from helpers.classify.labels import read_labels
from helpers.classify.model import Classifier
from helpers.classify.proof import verify_bundle
from helpers.classify.reference import TorchPipeline
from helpers.classify.weights import load_models
from helpers.download.records import licence_of

OTHERS = {
    "Cnn14_mAP=0.431.pth": shape("Cnn14"),
    "Cnn14_mel32_mAP=0.404.pth": shape("Cnn14", 8000, [5, 3, 8, 2, 7, 6], 4, 3, n_mels=32),
    "Cnn14_DecisionLevelAvg_mAP=0.425.pth": shape("Cnn14_DecisionLevelAvg", 16000, n_labels=2),
    "MobileNetV1_mAP=0.389.pth": shape("MobileNetV1", 32000, n_labels=1),
    "MobileNetV2_mAP=0.383.pth": shape("MobileNetV2", 16000, [4] * 19),  # x itself is added wherever it may
}


@pytest.fixture
def mobile(tmp_path):
    """A file that may be changed."""
    return write_panns(tmp_path / "MobileNetV1.pth", random_classifier(shape("MobileNetV1")))


def rewrite(path, config, change=lambda tensors: None, **more):
    return write_panns(path, random_classifier(config), change, **more)


# --- what is read


@pytest.mark.parametrize("name", OTHERS)
def test_other_sizes_go_all_the_way(tmp_path, name):
    config = OTHERS[name]
    model = random_classifier(config)
    path = write_panns(tmp_path / "weights" / name, model)
    models = load_models(path.parent)
    assert models.config == config
    ours, theirs = (one.state_dict() for one in (models.classifier, model))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if "num_batches" not in name)
    certificate = verify_bundle(path, export_bundle(models, tmp_path / "bundle"))
    assert certificate.passed, str(certificate)
    scores = TorchPipeline(models).scores(sound(2, 40000)[:, None], config.front.sample_rate)
    assert scores.shape == (2, config.head.n_labels) and np.abs(scores[0] - scores[1]).max() > 1e-4


def test_a_bare_state_dict_and_one_from_parallel_training(tmp_path, mobile):
    tensors = torch.load(mobile, weights_only=False)["model"]
    whole = load_models(mobile).classifier.state_dict()
    torch.save(tensors, tmp_path / "bare.pth")
    torch.save({"model": {f"module.{name}": one for name, one in tensors.items()}}, tmp_path / "two.pth")
    torch.save({"model": tensors}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("bare", "two", "old"):
        assert rooms.of_checkpoints(tmp_path / f"{name}.pth") == "classify"
        found = load_models(tmp_path / f"{name}.pth").classifier.state_dict()
        assert all(torch.equal(one, other) for one, other in zip(whole.values(), found.values(), strict=True))


def test_a_name_is_asked_for_only_where_it_must_be(tmp_path):
    golden = GOLDEN / "Cnn14_DecisionLevelMax" / "Cnn14_DecisionLevelMax.pth"
    path = shutil.copy(golden, tmp_path / "best.pth")
    with refused("best.pth", "--model", "Cnn14_DecisionLevelMax"):
        load_models(path)
    assert load_models(path, "Cnn14_DecisionLevelMax").spec.outputs == ("scores", "framewise")
    assert load_models(path, "Cnn14").spec.outputs == ("scores", "embedding")
    path = shutil.copy(GOLDEN / "MobileNetV2" / "MobileNetV2.pth", tmp_path / "mine.pth")
    assert load_models(path).spec.architecture == "MobileNetV2"
    with refused("MobileNetV1", "MobileNetV2"):
        load_models(path, "MobileNetV1")
    with refused("ResNet38", "Cnn14"):
        load_models(path, "ResNet38")


@pytest.mark.parametrize(
    "text, names",
    [("index,mid,display_name\n1,/m/2,Dog\n0,/m/1,\"Speech, loud\"\n", ("Speech, loud", "Dog")),
     ("Speech\nDog\n", ("Speech", "Dog")), ("\ufefflabel,x\na,1\nb,2\n", ("a", "b"))],
)  # fmt: skip
def test_labels(tmp_path, text, names):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    assert read_labels(path, 2) == names


@pytest.mark.parametrize(
    "content", [b"", b"a\n", b"a\nb\nc\n", b"\xff\xfe\n\n", b"a,b\nc,d\n", b"index,label\nx,a\ny,b\n",
                b"index,label\n0,a\n2,b\n",
                b"index,label\n1,a\n1,b\n", b"index,label\n7,a\n8,b\n",
                b"label\n\"\"\nb\n", b"x,label\n1\n2\n", b"label\n" + b"a" * 300 + b"\nb\n", b'"a\nb']
)  # fmt: skip
def test_labels_that_are_not(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with refused("labels.csv"):
        read_labels(tmp_path / "labels.csv", 2)
    with refused("nowhere"):
        read_labels(tmp_path / "nowhere", 2)


def test_files_are_recognised_and_described():
    for name in ("Cnn14_16k", "MobileNetV2"):
        assert rooms.of_checkpoints(GOLDEN / name) == "classify"
        assert rooms.of_checkpoints(GOLDEN / name / f"{name}.pth") == "classify"
    assert rooms.of_checkpoints(GOLDEN.parent / "vampnet") == "vampnet"
    assert rooms.of_checkpoints(GOLDEN.parent / "vampnet" / "codec.pth") == "vampnet"
    text = rooms.describe(GOLDEN / "Cnn14_16k")
    assert all(word in text for word in ("Cnn14", "16000 Hz", "17 labels", "84 tensors", "0.31 s"))
    assert files.architecture_of(GOLDEN / "Cnn14_8k_mAP=0.416.pth") == "Cnn14"
    assert files.architecture_of(GOLDEN / "Wavegram_Logmel_Cnn14_mAP=0.439.pth") is None


def test_a_directory_with_two_or_none(tmp_path, mobile):
    shutil.copy(mobile, tmp_path / "Cnn14.pth")
    with refused("2 of them", "MobileNetV1.pth"):
        load_models(tmp_path)
    for path in tmp_path.glob("*.pth"):
        path.unlink()
    with refused("PANNs"):
        load_models(tmp_path)
    with refused("does not exist"):
        load_models(tmp_path / "nowhere.pth")


# --- what is refused, by name


def without(name):
    return lambda tensors: tensors.pop(name)


def with_value(name, value):
    return lambda tensors: tensors.update({name: value(tensors.get(name))})


WRONG = {
    "features.4.2.running_mean": without("features.4.2.running_mean"),
    "features.13.5.weight": with_value("features.13.5.weight", lambda old: old[:-1]),
    "features.0.0.weight": with_value("features.0.0.weight", lambda old: old.flatten()),
    "features.3.4.weight": without("features.3.4.weight"),
    "fc_audioset.bias": with_value("fc_audioset.bias", lambda old: old * float("nan")),
    "fc1.weight": with_value("fc1.weight", lambda old: old.long()),
    "features.2.2.running_var": with_value("features.2.2.running_var", lambda old: -old),
    "bn0.num_batches_tracked": with_value("bn0.num_batches_tracked", lambda old: old.repeat(3)),
    "features.14.0.weight": with_value("features.14.0.weight", lambda old: torch.ones(3)),
    "logmel_extractor.melW": without("logmel_extractor.melW"),
    "conv_imag": without("spectrogram_extractor.stft.conv_imag.weight"),
    "window of 100": with_value(
        "spectrogram_extractor.stft.conv_real.weight", lambda old: torch.ones(51, 1, 100)
    ),
    "x\\x1b": with_value("x\x1b[31m", lambda old: torch.ones(3)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tensor_that_is_wrong_is_named(tmp_path, name):
    path = rewrite(tmp_path / "MobileNetV1.pth", shape("MobileNetV1"), WRONG[name])
    with refused(name):
        load_models(path)


@pytest.mark.parametrize(
    "name", ["features.5.conv.3.weight", "features.1.conv.0.weight", "features.18.1.bias"]
)
def test_a_tensor_that_is_wrong_is_named_in_version_2(tmp_path, name):
    for change in (without(name), with_value(name, lambda old: old[:1])):
        with refused(name.rpartition(".")[0]):
            load_models(rewrite(tmp_path / "MobileNetV2.pth", shape("MobileNetV2"), change))


def test_another_architecture_is_refused_by_name(tmp_path):
    """One with Cnn14's blocks and more, and one with nothing of it."""
    more = with_value("pre_conv0.weight", lambda old: torch.ones(3))
    path = rewrite(tmp_path / "Wavegram_Logmel_Cnn14_mAP=0.439.pth", shape("Cnn14"), more)
    with refused("Wavegram_Logmel_Cnn14", "--model"):
        load_models(path)
    with refused("pre_conv0.weight"):
        load_models(path, "Cnn14")
    torch.save({"model": {"logmel_extractor.melW": torch.ones(3), "resnet.conv1": torch.ones(3)}},
               tmp_path / "ResNet38_mAP=0.434.pth")  # fmt: skip
    with refused("ResNet38", "Cnn14, "):
        load_models(tmp_path / "ResNet38_mAP=0.434.pth")


# --- what strangers write


class Touch:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_pickle_runs(tmp_path):
    path = rewrite(tmp_path / "MobileNetV1.pth", shape("MobileNetV1"), sampler=Touch(tmp_path / "ran"))
    with refused("system"):
        load_models(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"logmel_extractor.melW" * 9, b"\x80\x02}q\x00."])
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "MobileNetV1.pth"
    path.write_bytes(content)
    with refused("MobileNetV1.pth"):
        load_models(path)


# --- the public sizes, and where they are

MOBILE = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
INVERTED = [32, 16, 24, 24, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320, 1280]
PUBLIC = {  # widths, hidden; parameters and tensors that the public code counts
    "Cnn14": ([64, 128, 256, 512, 1024, 2048], 2048, 80_753_615, 84),
    "MobileNetV1": (MOBILE, 1024, 4_796_303, 174),
    "MobileNetV2": (INVERTED, 1024, 4_075_343, 324),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_published_sizes_have_as_many_numbers_and_tensors(name):
    widths, hidden, n_numbers, n_tensors = PUBLIC[name]
    with torch.device("meta"):
        model = Classifier(shape(name, 32000, widths, hidden, 527))
    assert sum(one.numel() for one in model.network.parameters()) == n_numbers
    assert len(model.state_dict()) == n_tensors


class Listing:
    """What a record's metadata says, without a network."""

    zenodo = "http://nowhere"
    names = ("Cnn14_16k_mAP=0.438.pth", "Cnn14_DecisionLevelAtt_mAP=0.425.pth", "MobileNetV1_mAP=0.389.pth")

    def json(self, url):
        entries = [{"key": name, "size": 9, "links": {"self": f"{url}/{name}"}} for name in self.names]
        return {"files": entries, "metadata": {"license": {"id": "cc-by-4.0"}}}, None


def test_what_there_is_to_download():
    (source,) = files.sources()
    assert source.offers("panns/Cnn14_16k") and not source.offers("vampnet")
    records = source.records(Listing())
    assert [one.name for one in records] == ["panns/Cnn14_16k", "panns/MobileNetV1"]
    assert "CC BY 4.0" in licence_of(records[0], source) and records[0].files[0].size == 9
