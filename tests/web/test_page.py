"""The page as a file: what is in it, what may run in it, and which bundles are refused."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zlib
from html.parser import HTMLParser

import pytest
from refusals import refused

from helpers import page
from helpers.__main__ import main
from helpers.support.files import ROOT
from helpers.vampnet.page import page_of
from helpers.vampnet.pipeline import GRAPHS
from helpers.vampnet.vamp import PRESETS
from teaching import kit

HOMES = ("vampnet", "musicgen")
HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror='stolen = 1'>\u2028<!--"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and what the raw ones hold: scripts and the style."""

    def __init__(self, text):
        super().__init__()
        self.raw = re.findall(r"<(script|style)\b([^>]*)>(.*?)</\1", text, re.S)  # as a browser cuts them
        self.found = []
        self.feed(re.sub(r"(<(script|style)\b[^>]*>).*?(?=</\2)", r"\1", text, flags=re.S))

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def data(self, name):
        """What the script element of this id holds."""
        (found,) = [text for _, about, text in self.raw if f'id="{name}"' in about]
        return found


@pytest.fixture(scope="module")
def written(bundle, tmp_path_factory):
    """The page of the golden models."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["page", str(bundle), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def elements(written):
    return Elements(written.read_text(encoding="utf-8"))


def changed(bundle, to, **entries):
    """A copy of a bundle that says something else of itself."""
    copied = shutil.copytree(bundle, to)
    manifest = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(manifest | entries))
    return copied


# --- What is in it


def test_the_graphs_are_inside_bit_for_bit(elements, bundle):
    for name in GRAPHS:
        content = zlib.decompress(base64.b64decode(elements.data(f"graph-{name}")), wbits=31)
        assert content == (bundle / f"{name}.onnx").read_bytes()


def test_the_page_knows_the_models_numbers(elements, bundle):
    told = json.loads(elements.data("bundle"))
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert told["spec"] == {name: manifest[name] for name in told["spec"]} and "hop" in told["spec"]
    assert told["graphs"] == list(GRAPHS)
    assert set(PRESETS) - set(told["presets"]) == {"rhythm"}  # it needs onsets, which the page can't find
    assert told["about"]["model"] == "vampnet" and told["about"]["coarse"] == "fp32"


def test_the_runtimes_licences_are_inside(elements):
    licence = json.loads(elements.data("runtime-licence"))
    assert "Copyright (c) Microsoft Corporation" in licence and "Eigen" in licence


def test_a_page_is_made_alike_every_time(written, bundle, tmp_path):
    main(["page", str(bundle), "--out", str(tmp_path / "again.html")])
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


@pytest.mark.parametrize("home", HOMES)
def test_modules_come_after_those_that_they_import(home):
    found = page.modules(home)
    for place, text in enumerate(found.values()):
        imported = re.findall(r'"\.[\w./]*/([\w.]+\.js)"', text)
        assert set(imported) <= {*list(found)[:place], "worker.js"}, list(found)[place]
    assert list(found)[-1] == "page.js"


def test_every_module_is_on_a_page():
    ours = {path.name for path in page.WEB.glob("**/*.js") if "node_modules" not in path.parts}
    used = {name for home in HOMES for name in page.modules(home)}
    assert ours - {"loader.js"} == used - {"grid.js", "player.js"}


def test_the_page_imports_nothing_heavy(bundle, tmp_path):
    code = "import sys; from helpers.__main__ import main; main(sys.argv[1:])\n"
    code += "print([name for name in ('torch', 'onnx', 'onnxruntime', 'matplotlib') if name in sys.modules])"
    arguments = ["page", str(bundle), "--out", str(tmp_path / "page.html")]
    said = subprocess.check_output([sys.executable, "-c", code, *arguments], cwd=ROOT, text=True)
    assert said.endswith("[]\n")


def test_it_travels_in_kits_and_wheels():
    assert "web" in kit.COURSE
    assert page.WEB / "runtime" / "ort.wasm.gz" in set(kit.course_files(ROOT, ROOT / "kit"))
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"web", "web.runtime", *(f"web.{home}" for home in HOMES)}
    assert folders <= set(setup["packages"]["find"]["include"]) and folders <= set(setup["package-data"])


def test_the_lock_names_no_other_registry():
    lock = (page.WEB / "package-lock.json").read_text()
    hosts = set(re.findall(r"https?://([^/\"]+)", lock)) - {"opencollective.com", "github.com"}
    assert hosts <= {"registry.npmjs.org"}
    version = json.loads((page.WEB / "package.json").read_text())["devDependencies"]["onnxruntime-web"]
    assert json.loads(lock)["packages"]["node_modules/onnxruntime-web"]["version"] == version
    assert version in page.modules("vampnet")["ort.js"][:200]


# --- What may run in it


def test_one_script_runs_and_the_policy_knows_it(elements):
    (policy,) = [about["content"] for _, about in elements.found if "http-equiv" in about]
    (script,) = [text for tag, about, text in elements.raw if tag == "script" and "type=" not in about]
    (style,) = [text for tag, _, text in elements.raw if tag == "style"]
    for text in (script, style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy
    assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy
    assert not [
        about for _, about in elements.found if "src" in about or any(key.startswith("on") for key in about)
    ]


def test_what_a_bundle_says_is_never_markup(bundle, tmp_path, elements):
    tools, stored = {HOSTILE: HOSTILE}, {"coarse": HOSTILE, HOSTILE: "fp32"}
    copied = changed(
        bundle, tmp_path / "<img src=x onerror=alert(1)>", tools=tools, precision=stored, extra=HOSTILE
    )
    assert main(["page", str(copied), "--out", str(tmp_path / "page.html")]) == 0
    found = Elements((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.found == elements.found
    told = json.loads(found.data("bundle"))
    assert told["about"]["coarse"] == HOSTILE.replace("\u2028", "\\u2028")


# --- What is refused


def one_line(capsys, *arguments):
    assert main(["page", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and err[:-1].isprintable()
    return err


@pytest.mark.parametrize("rate", [4000, 192_000])
def test_rates_that_no_browser_plays_are_refused(bundle, tmp_path, capsys, rate):
    copied = changed(bundle, tmp_path / "bundle", sample_rate=rate)
    assert f"at {rate} Hz" in one_line(capsys, copied, "--out", tmp_path / "page.html")


def test_what_is_no_bundle_is_refused(tmp_path, capsys):
    assert "is not a bundle" in one_line(capsys, tmp_path, "--out", tmp_path / "page.html")


def test_a_bundle_that_is_too_large_is_refused(bundle, tmp_path, capsys):
    copied = changed(bundle, tmp_path / "bundle")
    with open(copied / "c2f.onnx", "r+b") as file:
        file.truncate(page.LARGEST)
    said = one_line(capsys, copied, "--out", tmp_path / "page.html")
    assert "MB and a page takes 300" in said and "--precision int8" in said
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda bundle: (bundle / "c2f.onnx").unlink(), "c2f.onnx is missing"),
        (lambda bundle: (bundle / "c2f.onnx").write_bytes(b"no graph"), "is not the file that"),
        (lambda bundle: (bundle / "c2f.onnx.data").write_bytes(b"1"), "without --external-data"),
        (lambda bundle: (bundle / "bundle.json").write_text('{"model": "vampnet"}'), "no usable"),
    ],
)
def test_a_damaged_bundle_is_refused(bundle, tmp_path, capsys, damage, says):
    copied = changed(bundle, tmp_path / "bundle")
    damage(copied)
    assert says in one_line(capsys, copied, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("out", [".", "bundle/coarse.onnx"])
def test_what_can_not_be_written_is_refused(bundle, tmp_path, capsys, out):
    copied = changed(bundle, tmp_path / "bundle")
    before = (copied / "coarse.onnx").read_bytes()
    one_line(capsys, copied, "--out", tmp_path / out)
    assert (copied / "coarse.onnx").read_bytes() == before


def test_a_course_without_its_web_folder_says_so(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "WEB", tmp_path / "web")
    with refused("is missing"):
        page.write_page(bundle, tmp_path / "page.html", page_of(bundle))
    assert not (tmp_path / "page.html").exists()
