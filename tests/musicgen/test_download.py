"""Public fine-tunes of MusicGen, and the T5 and EnCodec that they name, from a local server."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from refusals import refused

from helpers.__main__ import main
from helpers.download import Network, available, download
from helpers.musicgen.files import SIZES, sources
from helpers.musicgen.weights import load_models

from .conftest import GOLDEN


def files_of(name, *wanted):
    return {file: (GOLDEN / name / file).read_bytes() for file in wanted}


HF = files_of("hf", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json")
AUDIOCRAFT = files_of("audiocraft", "state_dict.bin", "compression_state_dict.bin")
T5 = files_of("t5", "config.json", "model.safetensors", "spiece.model")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        body = self.server.pages.get(path)
        self.server.asked.append(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        """Keep the test output quiet."""


class Server(ThreadingHTTPServer):
    """Repositories as Hugging Face serves them: large files by SHA-256, small ones by git's name."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url, self.pages, self.asked = f"http://127.0.0.1:{self.server_port}", {}, []

    def repository(self, name, files, licence):
        entries = []
        for path, data in files.items():
            oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"type": "file", "path": path, "size": len(data), "oid": oid}
            if path.endswith((".bin", ".safetensors")):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest()}
            entries.append(entry)
            self.pages[f"/{name}/resolve/main/{path}"] = data
        self.pages[f"/api/models/{name}"] = json.dumps({"cardData": {"license": licence}}).encode()
        self.pages[f"/api/models/{name}/tree/main"] = json.dumps(entries).encode()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        more = {"README.md": b"#", "flax_model.msgpack": b"x", "pytorch_model.bin": b"x"}
        server.repository("facebook/musicgen-small", HF | AUDIOCRAFT | more, "cc-by-nc-4.0")
        server.repository("someone/drums_0.1", AUDIOCRAFT | {"README.md": b"#"}, None)
        server.repository("google-t5/t5-base", T5 | more, "apache-2.0")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server):
    network = Network(server.url, server.url, 1.0, 1.0, tries=1, wait=0.001)
    return lambda name, to: download(sources(), name, to, network=network)


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_the_family_that_stands_alone_is_taken_where_there_are_both(fetch, tmp_path, capsys):
    fetch("facebook/musicgen-small", tmp_path)
    assert names(tmp_path) == sorted(HF)
    assert "CC BY-NC 4.0" in capsys.readouterr().out
    load_models(tmp_path)


def test_a_fine_tune_comes_with_the_text_encoder_it_names(server, tmp_path, capsys):
    command = ["download", "someone/drums_0.1", "--to", str(tmp_path / "new")]
    assert main(command) == 0
    assert names(tmp_path / "new") == sorted([*AUDIOCRAFT, *(f"t5-base/{name}" for name in T5)])
    printed = capsys.readouterr()
    assert "CC BY-NC 4.0" in printed.out and "Apache 2.0" in printed.out and printed.err == ""
    load_models(tmp_path / "new")
    server.asked.clear()
    assert main(command) == 0
    assert printed.out.count("MB") and not [path for path in server.asked if path.endswith(".bin")]


def test_a_fine_tune_comes_with_the_codec_it_names(server, fetch, tmp_path):
    codec = files_of("finetune", "compression_state_dict.bin")
    server.repository("someone/vanya", AUDIOCRAFT | codec, None)
    config = json.dumps(json.loads(HF["config.json"])["audio_encoder"]).encode()
    server.repository("facebook/encodec_32khz", {"config.json": config, "model.safetensors": b"1"}, "mit")
    fetch("someone/vanya", tmp_path)
    assert (tmp_path / "encodec_32khz" / "model.safetensors").read_bytes() == b"1"
    assert (tmp_path / "t5-base" / "spiece.model").is_file()


def test_shards_come_with_their_index(server, fetch, tmp_path):
    shards = {"model-00001-of-00002.safetensors": b"1", "model-00002-of-00002.safetensors": b"2",
              "model.safetensors.index.json": b"{}", "model-fp16.safetensors": b"3"}  # fmt: skip
    config = {"config.json": HF["config.json"]}
    server.repository("facebook/musicgen-large", config | shards, "cc-by-nc-4.0")
    fetch("facebook/musicgen-large", tmp_path)
    assert names(tmp_path) == sorted([*config, *list(shards)[:3]])


@pytest.mark.parametrize(
    "files, words",
    [({"config.json": b'{"model_type": "musicgen_melody"}', "model.safetensors": b"1"}, "musicgen_melody"),
     ({"config.json": b'["\\u001b[31m"]', "model.safetensors": b"1"}, "supported"),
     ({"adapter_model.safetensors": b"1"}, "neither"),
     ({"config.json": HF["config.json"], "pytorch_model.bin": b"1"}, "no safetensors"), ({}, "neither")],
)  # fmt: skip
def test_other_models_are_refused_before_anything_is_fetched(server, fetch, tmp_path, files, words):
    server.repository("someone/else", files, None)
    with refused(words):
        fetch("someone/else", tmp_path / "to")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["../..", "a/../b", "a/b/c", "a/b?x", "a b/c", "/a", "a/", "-/x", "a/é"])
def test_names_that_are_no_repository(server, fetch, tmp_path, name):
    with refused("no download called"):
        fetch(name, tmp_path / "to")
    assert server.asked == []


@pytest.mark.parametrize("named", ["../../x", "/etc/passwd", "a/b/c", "a/..", "x\n", ""])
def test_a_checkpoint_that_names_no_repository(server, fetch, tmp_path, named):
    path = tmp_path / "made.bin"
    torch.save({"pretrained": named, "exported": True}, path)
    hostile = {"compression_state_dict.bin": path.read_bytes()}
    server.repository("someone/hostile", AUDIOCRAFT | hostile, None)
    server.asked.clear()
    with refused("no public repository"):
        fetch("someone/hostile", tmp_path / "to")
    assert names(tmp_path / "to") == sorted(AUDIOCRAFT)


def test_a_small_file_is_checked_too(server, fetch, tmp_path):
    server.pages["/google-t5/t5-base/resolve/main/spiece.model"] = b"x" * len(T5["spiece.model"])
    with refused("spiece.model", "wrong checksum"):
        fetch("someone/drums_0.1", tmp_path)
    assert not (tmp_path / "t5-base" / "spiece.model").exists()


def test_a_download_that_broke_off_between_two_files_goes_on_there(server, fetch, tmp_path):
    page = "/google-t5/t5-base/resolve/main/model.safetensors"
    weights = server.pages.pop(page)
    with refused("model.safetensors"):
        fetch("someone/drums_0.1", tmp_path)
    with refused("t5-base/model.safetensors", "download it again"):
        load_models(tmp_path)
    server.pages[page] = weights
    server.asked.clear()
    fetch("someone/drums_0.1", tmp_path)
    assert not [path for path in server.asked if path.endswith(".bin")]
    load_models(tmp_path)


def test_the_listing_names_sizes_and_licence(server):
    network = Network(server.url, server.url, 1.0, 1.0, tries=1)
    assert "facebook/musicgen-stereo-large" in available(sources(), network=network)
    for size in SIZES:
        server.repository(f"facebook/musicgen-{size}", HF, "cc-by-nc-4.0")
    listed = available(sources(), network=network)
    assert "facebook/musicgen-stereo-large" in listed and "CC BY-NC 4.0" in listed and "1.73 MB" in listed
