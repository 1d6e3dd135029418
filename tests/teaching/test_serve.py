"""`course.py serve`: a folder of pages on this computer alone, isolated."""

import threading
import urllib.error
import urllib.request

import pytest
from refusals import refused

import course
from teaching import serve


@pytest.fixture
def address(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text("a page")
    (tmp_path / "secret.txt").write_text("a secret")
    with serve.server(tmp_path / "pages", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


def test_a_page_comes_isolated(address):
    with urllib.request.urlopen(address + "a.html") as answer:
        assert answer.read() == b"a page"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_nothing_outside_the_folder_is_given(address):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address + "../secret.txt")


def test_mistakes_are_one_line(tmp_path, capsys):
    assert course.main(["serve", str(tmp_path / "nowhere")]) == 2
    assert "is not a directory" in capsys.readouterr().err
    with serve.server(tmp_path, 0) as serving, refused("another with --port"):
        serve.server(tmp_path, serving.server_port)
    with refused("another with --port"):
        serve.server(tmp_path, 70_000)
