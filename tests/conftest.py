"""What every test may ask for: the golden arrays, made by the public implementation, and its models."""

import os
import signal
from pathlib import Path

import exported_once
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# The test models are tiny: threads only wait for one another, most of all when tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # this and the next as helpers/__init__.py, which
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # a test may import later


# A busy machine is slow, not wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser):
    """`--pictures DIR`: see tests/course/test_browser.py."""
    parser.addoption(
        "--pictures", metavar="DIR", help="with -m browser: pictures of every notebook, to look at"
    )


def pytest_collection_modifyitems(items):
    """What takes longest comes first, or one processor core would be left alone with it."""
    items.sort(key=lambda item: not on_its_own(item.nodeid))


def on_its_own(nodeid: str) -> bool:
    """Whether a test is a long one that shares nothing with the others of its file: a notebook's run."""
    return nodeid.startswith("tests/course/test_notebooks.py::test_runs_top_to_bottom")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of one file stay with one process, for they share what they make; those on their own need not."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if on_its_own(nodeid) else super()._split_scope(nodeid)

    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def graphs_directory(tmp_path_factory) -> Path:
    """Where all processes of a test run keep the graphs that they exported, for one another."""
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "graphs"
    exported_once.share(directory)
    return directory


@pytest.fixture
def heard():
    """Signals end this process and those that a test starts, also when the tests run under `nohup`."""
    named = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL, "SIGTERM": signal.SIG_DFL}
    handlers = {getattr(signal, name): handler for name, handler in named.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The directory with the golden checkpoints and arrays."""
    return Path(__file__).parent / "golden" / "vampnet"


@pytest.fixture(scope="session")
def golden(golden_dir):
    """The golden arrays by name."""
    with np.load(golden_dir / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def models(golden_dir):
    """The three golden models in PyTorch."""
    from helpers.vampnet.weights import load_models

    return load_models(golden_dir)


@pytest.fixture(scope="session")
def torch_pipeline(models):
    """The golden models behind the runtime's methods."""
    from helpers.vampnet.reference import TorchPipeline

    return TorchPipeline(models.codec, models.coarse, models.c2f)


@pytest.fixture(scope="session")
def bundle(models, tmp_path_factory) -> Path:
    """The golden models exported, once a session; to change a file, copy the bundle first."""
    from helpers.vampnet.graphs import export_bundle

    return export_bundle(models, tmp_path_factory.mktemp("golden") / "bundle")


@pytest.fixture(scope="session")
def onnx_pipeline(bundle):
    """The exported golden models in ONNX Runtime."""
    from helpers.vampnet.pipeline import Pipeline

    return Pipeline.open(bundle)


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium, for the tests marked `browser`."""
    import browser

    reason = "playwright is not installed: pip install -e '.[browser]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as running:
        path = browser.chromium_path(running)
        if path is None:
            pytest.skip("there is no Chromium: python -m playwright install chromium")
        opened = running.chromium.launch(executable_path=path)
        yield opened
        opened.close()
