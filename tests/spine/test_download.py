"""Downloads against a local server that stalls, cuts, corrupts, moves and refuses; never the internet."""

import errno
import hashlib
import io
import json
import random
import re
import shutil
import threading
import zipfile
from collections import namedtuple
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refused

from helpers import download as spine
from helpers.download import Network, fetch, records
from helpers.download import network as network_module
from helpers.support.errors import InputError
from helpers.vampnet import files as module
from helpers.vampnet.files import sources

NAMES = ("codec.pth", "coarse.pth", "c2f.pth")
BASE = {name: random.Random(name).randbytes(20_000 + len(name)) for name in NAMES}
TUNED = {name: random.Random("tuned" + name).randbytes(9_000) for name in ("coarse.pth", "c2f.pth")}
download = partial(spine.download, sources())
available = partial(spine.available, sources())
ZENODO = f"/api/records/{module.ZENODO_RECORD}"


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `pages` (path: bytes). `faults` (path: list) says what goes wrong, one a request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages, self.faults, self.redirects, self.asked = {}, {}, {}, []
        self.ranges, self.offset = True, 0  # whether Range is honoured, and how far beside what was asked
        self.released = threading.Event()  # ends stalls when the test is over
        self.zenodo(BASE)
        self.hugging_face(BASE | {f"loras/opera/{name}": data for name, data in TUNED.items()})

    def zenodo(self, files, licence="cc-by-nc-sa-4.0", checksum=md5):
        entries = []
        for key, data in ({"wavebeat.pth": b"beats"} | files).items():
            path = f"{ZENODO}/files/{key}/content"
            self.pages[path] = data
            entries.append({"key": key, "size": len(data), "checksum": checksum(data),
                            "links": {"self": self.url + path}})  # fmt: skip
        self.record = {"files": entries, "metadata": {"license": {"id": licence}} if licence else {}}

    def hugging_face(self, files, licence=None, page=2):
        repository = f"/api/models/{module.REPOSITORY}"
        self.pages[repository] = json.dumps({"cardData": {"license": licence} if licence else None}).encode()
        entries = [{"type": "directory", "path": "loras", "size": 0, "oid": "0"},
                   {"type": "file", "path": "README.md", "size": 3, "oid": "0"}]  # fmt: skip
        for path, data in files.items():
            oid = hashlib.sha256(data).hexdigest()
            entries.append({"type": "file", "path": path, "size": len(data), "oid": "0", "lfs": {"oid": oid}})
            self.pages[f"/cdn/{path}"] = data
            self.redirects[f"/{module.REPOSITORY}/resolve/main/{path}"] = f"{self.url}/cdn/{path}"
        self.tree = [entries[start : start + page] for start in range(0, len(entries), page)]

    def files_asked(self):
        return [(path.split("/")[-2], span) for path, span in self.asked if path.endswith("/content")]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        path, _, query = self.path.partition("?")
        span = self.headers.get("Range")
        server.asked.append((path, span))
        fault = (server.faults.get(path) or [None]).pop(0)
        if isinstance(fault, int):
            return self.answer(fault, b"no", {"Retry-After": str(getattr(server, "retry_after", 0))})
        if path in server.redirects:
            return self.answer(302, b"", {"Location": server.redirects[path]})
        headers = {}
        if path == ZENODO:
            data = json.dumps(server.record).encode()
        elif path == f"/api/models/{module.REPOSITORY}/tree/main":
            page = int((re.search(r"cursor=(\d+)", query) or [0, 0])[1])
            data = json.dumps(server.tree[page]).encode()
            if page + 1 < len(server.tree):
                headers["Link"] = f'<{server.url}{path}?recursive=true&cursor={page + 1}>; rel="next"'
        elif path in server.pages:
            data = server.pages[path]
        else:
            return self.answer(404, b"gone")
        start = int(span[6:-1]) + server.offset if span and server.ranges else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, data[start:], headers, *(fault or ()))

    def answer(self, status, body, headers=None, fault=None, count=0):
        """`fault`: "cut", "stall" or end "unsized" after `count` bytes of body, or "flip" the byte there."""
        self.send_response(status)
        if fault == "unsized":
            headers = (headers or {}) | {"Content-Length": None}
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            if value is not None:
                self.send_header(key, value)
        self.end_headers()
        if fault == "flip":
            body = body[:count] + bytes([body[count] ^ 1]) + body[count + 1 :]
        self.wfile.write(body[:count] if fault in ("cut", "stall", "unsized") else body)
        self.wfile.flush()
        if fault == "stall":
            self.server.released.wait(5)
        self.close_connection = True

    def log_message(self, *_):
        """Keep the test output quiet."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def network(server):
    return Network(server.url, server.url, 5.0, 0.4, tries=3, wait=0.001, longest_wait=1, chunk=1000)


def content(name):
    return f"{ZENODO}/files/{name}/content"


def names(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def part_name(name, data):
    return f"{name}.{hashlib.md5(data).hexdigest()[:12]}.part"


def assert_base(directory, files=BASE):
    assert names(directory) == sorted(files)
    for name, data in files.items():
        assert (directory / name).read_bytes() == data


def test_the_base_model_arrives_whole_after_its_licence_is_printed(server, network, tmp_path, capsys):
    paths = download("vampnet", tmp_path / "new" / "place", network=network)
    assert_base(tmp_path / "new" / "place")
    assert sorted(path.name for path in paths) == sorted(BASE) and all(path.is_file() for path in paths)
    captured = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in captured.out and "not for commerce" in captured.out
    assert captured.err == ""  # no progress bar where there is no terminal


def test_a_progress_bar_can_be_asked_for(server, network, tmp_path, capsys):
    download("vampnet", tmp_path, files=["c2f.pth"], progress=True, network=network)
    assert "c2f.pth: 100%" in capsys.readouterr().err


def test_a_second_download_fetches_nothing_and_says_so(server, network, tmp_path, capsys):
    download("vampnet", tmp_path, network=network)
    server.asked.clear()
    capsys.readouterr()
    assert len(download("vampnet", tmp_path, network=network)) == 3
    assert server.files_asked() == []
    assert "already in" in capsys.readouterr().out


def test_only_the_chosen_files_are_fetched(server, network, tmp_path):
    assert download("vampnet", tmp_path, files=["c2f.pth"], network=network) == [tmp_path / "c2f.pth"]
    assert names(tmp_path) == ["c2f.pth"]
    download("vampnet", tmp_path, network=network)
    assert [name for name, _ in server.files_asked()].count("c2f.pth") == 1


def test_a_fine_tune_comes_with_the_codec_of_its_repository(server, network, tmp_path, capsys):
    download("loras/opera", tmp_path, network=network)
    assert_base(tmp_path, TUNED | {"codec.pth": BASE["codec.pth"]})
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().out  # although the repository names no licence


def test_the_base_model_of_the_repository_needs_no_fine_tune(server, network, tmp_path):
    server.hugging_face(BASE | {"wavebeat.pth": b"beats"}, licence="cc-by-nc-4.0")
    download("hugggof/vampnet", tmp_path, network=network)
    assert_base(tmp_path)


def test_the_addresses_can_come_from_the_environment(server, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENODO_ENDPOINT", server.url + "/")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    download("vampnet", tmp_path / "a")
    download("loras/opera", tmp_path / "b")
    assert len(names(tmp_path / "a")) == len(names(tmp_path / "b")) == 3


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(length=st.integers(0, len(BASE["c2f.pth"])), honours_range=st.booleans())
def test_any_prefix_is_continued(server, network, tmp_path, length, honours_range):
    server.ranges, data = honours_range, BASE["c2f.pth"]
    server.asked.clear()
    (tmp_path / "c2f.pth").unlink(missing_ok=True)
    (tmp_path / part_name("c2f.pth", data)).write_bytes(data[:length])
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": data})
    spans = [span for _, span in server.files_asked()]
    assert spans == ([] if length == len(data) else [f"bytes={length}-" if length else None])


@pytest.mark.parametrize(
    "fault", [("cut", 5_500), ("cut", 0), ("unsized", 5_500), ("stall", 5_500), ("stall", 0), 500, 503, 429]
)
def test_a_fault_that_passes_is_survived(server, network, tmp_path, fault):
    server.faults = {content("c2f.pth"): [fault, fault]}
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": BASE["c2f.pth"]})


@pytest.mark.parametrize("fault", [("cut", 100), ("stall", 100), 500, 503, 429])
def test_a_fault_of_the_metadata_that_passes_is_survived(server, network, tmp_path, fault):
    server.faults[ZENODO] = [fault, fault]
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == ["c2f.pth"]


@pytest.mark.parametrize("kind", ["cut", "stall", "unsized"])
def test_a_broken_download_continues_where_it_stopped(server, network, tmp_path, kind):
    server.faults[content("c2f.pth")] = [(kind, 5_500), (kind, 3_000)]
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    starts = [int(span[6:-1]) if span else 0 for _, span in server.files_asked()]
    assert starts[0] == 0 and 4_500 <= starts[1] <= 5_500 and starts[1] + 2_000 <= starts[2] <= 8_500


def test_tries_are_counted_anew_only_after_headway(server, network, tmp_path):
    server.faults[content("c2f.pth")] = [("cut", 3_000)] * 5
    with pytest.raises(InputError, match="tries in a row: 3"):
        download("vampnet", tmp_path / "a", files=["c2f.pth"], network=network)
    server.faults[content("c2f.pth")] = [("cut", 3_000)] * 5
    patient = replace(network, headway=1_500)
    download("vampnet", tmp_path / "b", files=["c2f.pth"], network=patient)
    assert_base(tmp_path / "b", {"c2f.pth": BASE["c2f.pth"]})


@pytest.mark.parametrize(
    ("fault", "words"),
    [(("cut", 7_000), "cut the connection"), (("stall", 7_000), "stalled"), (503, "503"), (429, "429")],
)
def test_a_fault_that_stays_is_one_line_and_leaves_the_part(server, network, tmp_path, fault, words):
    server.faults[content("c2f.pth")] = [("cut", 2_000)] + [fault] * 3
    with pytest.raises(InputError, match=words) as failure:
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    [part] = names(tmp_path)
    assert part == part_name("c2f.pth", BASE["c2f.pth"])
    assert part in str(failure.value) and "\n" not in str(failure.value)
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": BASE["c2f.pth"]})


@pytest.mark.parametrize("status", [401, 404, 410, 418])
@pytest.mark.parametrize("path", [ZENODO, content("c2f.pth")])
def test_what_is_gone_is_not_asked_for_again(server, network, tmp_path, status, path):
    server.faults[path] = [status] * 3
    with pytest.raises(InputError, match=str(status)):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert len(server.faults[path]) == 2 and names(tmp_path) == []


def test_a_long_wait_asked_for_by_the_server_is_reported_at_once(server, network, tmp_path):
    server.retry_after, server.faults[ZENODO] = 900, [429] * 3
    with pytest.raises(InputError, match="429.* 900 s"):
        download("vampnet", tmp_path, network=network)
    assert len(server.faults[ZENODO]) == 2


@pytest.mark.parametrize("place", [0, 10_000, -1])
def test_a_flipped_bit_is_noticed_and_the_part_deleted(server, network, tmp_path, place):
    server.faults[content("c2f.pth")] = [("flip", place % len(BASE["c2f.pth"]))]
    with pytest.raises(InputError, match="wrong checksum"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == []


def test_a_corrupt_part_is_deleted_not_kept(server, network, tmp_path):
    (tmp_path / part_name("c2f.pth", BASE["c2f.pth"])).write_bytes(b"x" * 500)
    with pytest.raises(InputError, match="wrong checksum"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == []


def test_a_part_that_is_too_long_is_started_over(server, network, tmp_path):
    data = BASE["c2f.pth"]
    (tmp_path / part_name("c2f.pth", data)).write_bytes(data + b"more")
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": data})


def test_a_new_version_is_never_glued_to_an_old_part(server, network, tmp_path):
    server.faults[content("c2f.pth")] = [("cut", 3_000)] * 3
    with pytest.raises(InputError):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    changed = random.Random(5).randbytes(len(BASE["c2f.pth"]))
    server.zenodo(BASE | {"c2f.pth": changed})
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": changed})


def test_a_file_that_changes_behind_its_metadata_is_refused(server, network, tmp_path):
    server.pages[content("c2f.pth")] = random.Random(5).randbytes(len(BASE["c2f.pth"]))
    with pytest.raises(InputError, match="wrong checksum"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == []


@pytest.mark.parametrize("extra", [-100, 100])
@pytest.mark.parametrize("start", [0, 5_000])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, network, tmp_path, extra, start):
    data = BASE["c2f.pth"]
    server.pages[content("c2f.pth")] = data[:extra] if extra < 0 else data + b"x" * extra
    if start:
        (tmp_path / part_name("c2f.pth", data)).write_bytes(data[:start])
    with pytest.raises(InputError, match="other size"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert "c2f.pth" not in names(tmp_path)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == ([start] if start else [])


def test_a_server_that_continues_elsewhere_is_refused(server, network, tmp_path):
    part = tmp_path / part_name("c2f.pth", BASE["c2f.pth"])
    part.write_bytes(BASE["c2f.pth"][:5_000])
    server.offset = 7
    with pytest.raises(InputError, match="not the file the record describes"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert part.read_bytes() == BASE["c2f.pth"][:5_000]


def test_a_server_that_cannot_continue_is_asked_from_the_start(server, network, tmp_path):
    data = BASE["c2f.pth"]
    (tmp_path / part_name("c2f.pth", data)).write_bytes(data[:100])
    server.faults[content("c2f.pth")] = [416]
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": data})
    assert [span for _, span in server.files_asked()] == ["bytes=100-", None]


def test_a_foreign_file_in_the_way_is_not_overwritten(server, network, tmp_path):
    (tmp_path / "coarse.pth").write_bytes(b"my own training")
    with pytest.raises(InputError, match="coarse.pth is not the record's file"):
        download("vampnet", tmp_path, network=network)
    assert names(tmp_path) == ["coarse.pth"] and (tmp_path / "coarse.pth").read_bytes() == b"my own training"
    assert server.files_asked() == []


@pytest.mark.parametrize("checksum", ["", None, "md5:", "md5:123", "crc32:12345678", "sha256:" + "g" * 64])
def test_a_file_without_a_usable_checksum_is_refused_by_name(server, network, tmp_path, checksum):
    server.zenodo(BASE, checksum=lambda data: checksum)
    with pytest.raises(InputError, match="codec.pth is refused: .*no checksum"):
        download("vampnet", tmp_path, network=network)
    assert names(tmp_path) == [] and server.files_asked() == []


def test_a_repository_file_outside_large_file_storage_is_refused(server, network, tmp_path):
    for page in server.tree:
        for entry in page:
            entry.pop("lfs", None)
    with pytest.raises(InputError, match="no checksum"):
        download("hugggof/vampnet", tmp_path, network=network)


@pytest.mark.parametrize(
    "name", ["../c2f.pth", "/tmp/c2f.pth", "..\\c2f.pth", "C:c2f.pth", "a/../c2f.pth", "a\n.pth", "..", ""]
)
def test_hostile_names_are_refused(server, network, tmp_path, name):
    server.record["files"][1]["key"] = name
    with pytest.raises(InputError, match="unsafe name") as failure:
        download("vampnet", tmp_path / "to", network=network)
    assert "\n" not in str(failure.value) and names(tmp_path) == []


def test_hostile_names_in_the_repository_are_refused(server, network, tmp_path):
    server.hugging_face(BASE | {"loras/../../c2f.pth": b"x"})
    with pytest.raises(InputError, match="unsafe name"):
        download("hugggof/vampnet", tmp_path / "to", network=network)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "target", ["file:///etc/hosts", "ftp://127.0.0.1/c2f.pth", "gopher://x", "http://[::1", "http://a..b/c"]
)
def test_redirects_lead_to_web_addresses_only(server, network, tmp_path, target):
    server.redirects[content("c2f.pth")] = target
    with pytest.raises(InputError, match="refused address"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a..b", f"http://{'n' * 300}.org", "", "file:///etc", "\x1b"]
)
def test_an_address_that_is_none_is_one_line(server, network, tmp_path, url):
    with refused("refused address"):
        download("vampnet", tmp_path, network=replace(network, zenodo=url))
    server.record["files"][-1]["links"]["self"] = f"{url}/c2f.pth"
    with refused("refused address"):
        download("vampnet", tmp_path, network=network, files=["c2f.pth"])
    assert names(tmp_path) == []


def test_an_answer_without_end_is_not_waited_for(server, network, tmp_path, monkeypatch):
    monkeypatch.setattr(network_module, "LARGEST_ANSWER", 100)
    with refused("without end"):
        download("vampnet", tmp_path, network=network)
    assert names(tmp_path) == []


def test_a_listing_without_end_ends():
    class Circle(Network):
        asked = 0

        def json(self, url):
            self.__dict__["asked"] = self.asked + 1
            return ([], url) if "/tree/" in url else ({}, None)

    circle = Circle("http://zenodo", "http://hub")
    assert records.hugging_face(circle, "some/repository") == ({}, None) and circle.asked < 1000


def test_redirects_that_go_in_circles_end(server, network, tmp_path):
    server.redirects[content("c2f.pth")] = server.url + content("c2f.pth")
    with pytest.raises(InputError, match="refused address"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)


def test_a_redirected_download_is_continued(server, network, tmp_path):
    data = TUNED["c2f.pth"]
    part = f"c2f.pth.{hashlib.sha256(data).hexdigest()[:12]}.part"
    (tmp_path / part).write_bytes(data[:4_000])
    download("loras/opera", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": data})
    assert ("/cdn/loras/opera/c2f.pth", "bytes=4000-") in server.asked


def test_too_little_disk_space_is_found_out_first(server, network, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    total = sum(map(len, BASE.values()))
    (tmp_path / part_name("c2f.pth", BASE["c2f.pth"])).write_bytes(BASE["c2f.pth"][:1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, total - 1001))
    with pytest.raises(InputError, match="not enough space"):
        download("vampnet", tmp_path, network=network)
    assert server.files_asked() == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, total - 1000))
    download("vampnet", tmp_path, network=network)
    assert_base(tmp_path)


def test_ctrl_c_keeps_the_part_and_names_it(server, network, tmp_path, monkeypatch, capsys):
    update = fetch.tqdm.update

    def interrupted(bar, n=1):
        update(bar, n)
        if bar.n >= 6_000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch.tqdm, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download("vampnet", tmp_path, files=["c2f.pth"], progress=True, network=network)
    [part] = names(tmp_path)
    assert part in capsys.readouterr().out
    assert (tmp_path / part).read_bytes() == BASE["c2f.pth"][:6_000]
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert_base(tmp_path, {"c2f.pth": BASE["c2f.pth"]})
    assert server.files_asked()[-1] == ("c2f.pth", "bytes=6000-")


def test_a_full_disk_is_one_line(server, network, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "open", lambda path, mode: Full(path, mode), raising=False)
    with pytest.raises(InputError, match="No space left on device"):
        download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    assert names(tmp_path) == [part_name("c2f.pth", BASE["c2f.pth"])]


def test_a_directory_that_cannot_be_made_is_one_line(server, network, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        download("vampnet", tmp_path / "file" / "below", network=network)


def test_no_network_is_one_line_that_says_so(network, server, tmp_path):
    nowhere = replace(network, zenodo="http://127.0.0.1:1")
    with pytest.raises(InputError, match="127.0.0.1:1 cannot be reached.*Check the network"):
        download("vampnet", tmp_path / "to", network=nowhere)
    assert names(tmp_path) == []


@pytest.mark.parametrize("page", [b"<html>sign in</html>", b"[]", b'{"files": [3]}', b"null"])
def test_metadata_in_another_form_is_one_line(server, network, tmp_path, page):
    server.redirects[ZENODO] = server.url + "/portal"
    server.pages["/portal"] = page
    with pytest.raises(InputError) as failure:
        download("vampnet", tmp_path / "to", network=network)
    assert "\n" not in str(failure.value) and names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"), [("vampire", "choose one of vampnet"), ("loras/none", "it has .*loras/opera")]
)
def test_an_unknown_name_lists_the_known_ones(server, network, tmp_path, name, words):
    for call in (lambda: download(name, tmp_path, network=network), lambda: available(name, network)):
        with pytest.raises(InputError, match=words):
            call()


def test_an_unknown_file_lists_the_known_ones(server, network, tmp_path):
    with pytest.raises(InputError, match="has no wavebeat.pth; it has codec.pth, coarse.pth, c2f.pth"):
        download("vampnet", tmp_path, files=["wavebeat.pth"], network=network)


def archive(**changes):
    """A zip with the checkpoints in a directory, one file more, and what macOS adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (BASE | changes).items():
            if data:
                file.writestr(f"models/vampnet/{name}", data)
        file.writestr("models/wavebeat.pth", b"beats")
        file.writestr("__MACOSX/vampnet/._coarse.pth", b"attributes")
    return buffer.getvalue()


def test_a_record_that_holds_one_archive_is_unpacked(server, network, tmp_path, capsys):
    server.zenodo({"models.zip": archive()})
    server.record["files"] = server.record["files"][1:]
    assert "codec.pth + coarse.pth + c2f.pth" in available("vampnet", network)
    server.faults[content("models.zip")] = [("cut", 30_000)]
    paths = download("vampnet", tmp_path, network=network)
    assert sorted(path.name for path in paths) == sorted(BASE)
    assert names(tmp_path) == sorted([*BASE, "models.zip.json"])
    assert all((tmp_path / name).read_bytes() == data for name, data in BASE.items())
    asked = len(server.files_asked())
    download("vampnet", tmp_path, network=network)
    assert len(server.files_asked()) == asked and "already in" in capsys.readouterr().out
    (tmp_path / "c2f.pth").write_bytes(b"damaged")
    with pytest.raises(InputError, match="c2f.pth is not the record's file"):
        download("vampnet", tmp_path, network=network)


OTHER_NOTE = {"archive": "md5:0", "members": {"c2f.pth": md5(BASE["c2f.pth"])}}


ODD_NOTES = [
    json.dumps({"archive": md5(archive()), "members": members})
    for members in (5, [[]], {"c2f.pth": 5}, {"c2f.pth": "x" * 32}, {"c2f.pth": "sha1:0"})
]


@pytest.mark.parametrize("note", [None, "{}", "not json", "[" * 100_000, json.dumps(OTHER_NOTE), *ODD_NOTES])
def test_a_file_of_unknown_origin_is_not_taken_for_an_archive_s(server, network, tmp_path, note):
    server.zenodo({"models.zip": archive()})
    server.record["files"] = server.record["files"][1:]
    (tmp_path / "c2f.pth").write_bytes(BASE["c2f.pth"])
    if note is not None:
        (tmp_path / "models.zip.json").write_text(note)
    with pytest.raises(InputError, match="c2f.pth is not the record's file"):
        download("vampnet", tmp_path, network=network)


def test_chosen_files_of_an_archive_add_up(server, network, tmp_path):
    server.zenodo({"models.zip": archive()})
    server.record["files"] = server.record["files"][1:]
    download("vampnet", tmp_path, files=["coarse.pth"], network=network)
    assert names(tmp_path) == ["coarse.pth", "models.zip.json"]
    download("vampnet", tmp_path, files=["c2f.pth"], network=network)
    download("vampnet", tmp_path, files=["coarse.pth", "c2f.pth"], network=network)
    assert names(tmp_path) == ["c2f.pth", "coarse.pth", "models.zip.json"]


@pytest.mark.parametrize("data", [archive(**{"c2f.pth": b""}), b"not an archive"])
def test_an_archive_that_does_not_hold_the_files_is_one_line(server, network, tmp_path, data):
    server.zenodo({"models.zip": data})
    server.record["files"] = server.record["files"][1:]
    with pytest.raises(InputError, match="models.zip"):
        download("vampnet", tmp_path, network=network)
    assert not list(tmp_path.glob("*.pth"))


def test_the_listing_tells_names_files_sizes_and_licence(server, network):
    text = available(network=network)
    for words in ("vampnet", "hugggof/vampnet", "loras/opera", "coarse.pth 0.02 MB", "CC BY-NC-SA 4.0"):
        assert words in text
    assert "loras/opera" not in available("vampnet", network)


def test_the_listing_without_network_falls_back_to_the_built_in_names(server, network):
    nowhere = replace(network, zenodo="http://127.0.0.1:1", hugging_face="http://127.0.0.1:1")
    text = available(network=nowhere)
    assert "cannot be reached" in text
    for source in sources():
        assert source.page in text and all(name in text for name in source.names)
