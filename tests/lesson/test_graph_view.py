"""netron in a notebook: it shows the file, asks nobody outside, gives nothing else away, may be missing."""

import re
import urllib.error
import urllib.request

import numpy as np
import onnx
import pytest

from helpers.lesson.widgets import graph_server
from helpers.lesson.widgets.graph_view import GraphView
from helpers.support.errors import InputError
from teaching import in_page

SECONDS = 60


@pytest.fixture
def graph(tmp_path):
    """An ONNX file of one product; its weight is larger than what is sent to a browser."""
    side = 1 + int((graph_server.LARGEST_WEIGHT / 4) ** 0.5)
    weight = onnx.numpy_helper.from_array(np.ones((side, side), np.float32), "weight")
    small = onnx.numpy_helper.from_array(np.ones(3, np.float32), "small")
    shape = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])],
            "one product",
            [shape("x", onnx.TensorProto.FLOAT, [1, side])],
            [shape("y", onnx.TensorProto.FLOAT, [1, side])],
            [weight, small],
        )
    )
    path = tmp_path / "one product.onnx"
    onnx.save(model, path)
    return path


def get(address, path=""):
    """Status, headers and content of an address, or of another path on the same server."""
    host = re.match(r"http://[^/]+", address)[0]
    try:
        with urllib.request.urlopen(host + path if path else address, timeout=SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def beside(address, name):
    """The path of a name in the folder that the page lies in."""
    return re.sub(r"^http://[^/]+|[^/]+$", "", address) + name


def model_of(address):
    page = get(address)[2].decode()
    return get(
        address, beside(address, re.search(r'name="file" content="([^"]+)"', page)[1].replace(" ", "%20"))
    )


def test_the_page_is_netrons_for_this_file_without_age_and_reports(graph):
    status, headers, content = get(GraphView(graph).address)
    page = content.decode()
    assert status == 200 and headers["Content-Type"] == "text/html"
    assert re.findall(r'name="version" content="([^"]*)"', page) == ["0.0.0"] and 'name="date"' not in page
    assert page.index("guest.js") < page.index("index.js"), "it has to come first"


def test_the_page_may_load_from_its_own_server_only(graph):
    address = GraphView(graph).address
    assert address.startswith("http://127.0.0.1:")
    for path in ("", beside(address, "index.js"), beside(address, "guest.js")):
        status, headers, _ = get(address, path)
        rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
        assert status == 200 and rules["default-src"] == "'none'"
        assert all(source in ("'self'", "'none'", "'unsafe-inline'", "data:", "blob:")
                   for sources in rules.values() for source in sources.split())  # fmt: skip
        assert rules["connect-src"] == rules["script-src"] == "'self'"


def test_the_file_is_sent_without_its_large_weights(graph):
    status, _, content = model_of(GraphView(graph).address)
    sent, whole = onnx.load_from_string(content), onnx.load(graph)
    assert status == 200 and len(content) < 1000
    assert sent.graph.node == whole.graph.node
    assert [weight.dims for weight in sent.graph.initializer] == [w.dims for w in whole.graph.initializer]
    assert sent.graph.initializer[1] == whole.graph.initializer[1]


def test_weights_beside_the_file_need_not_be_there(graph):
    onnx.save(onnx.load(graph), graph, save_as_external_data=True, location="weights.data")
    (graph.parent / "weights.data").unlink()
    sent = onnx.load_from_string(model_of(GraphView(graph).address)[2])
    assert [node.op_type for node in sent.graph.node] == ["MatMul"]


def test_nothing_else_is_given_away(graph):
    (graph.parent / "private.onnx").write_bytes(graph.read_bytes())
    (graph.parent / "private.json").write_text("{}")
    address = GraphView(graph).address
    folder, key = beside(address, ""), address.rpartition("/")[2].removesuffix(".html")
    refused = (
        "private.onnx", "private.json", f"{key}/private.onnx", f"{key}/../{key}/private.onnx", f"{key}/", "",
        "../../../../etc/passwd", "%2e%2e/server.py", "server.py", "index.html",
    )  # fmt: skip
    assert [name for name in refused if get(address, folder + name)[0] != 404] == []
    assert get(address, f"/guessed/{key}.html")[0] == get(address, f"/{key}.html")[0] == 404
    assert get(address, "/")[0] == 404


def test_a_second_look_has_the_same_address_and_a_second_file_another(graph, tmp_path):
    first, again = GraphView(graph), GraphView(str(graph))
    other = tmp_path / "other.onnx"
    other.write_bytes(graph.read_bytes())
    assert first.address == again.address != GraphView(other).address
    assert get(first.address)[0] == get(GraphView(other).address)[0] == 200


def test_the_notebook_can_ask_whether_the_server_is_there(graph):
    address = GraphView(graph).address
    status, headers, _ = get(address, beside(address, "alive"))
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in get(address)[1]


def test_a_file_that_is_gone_or_broken_is_no_noise(graph, capfd):
    address = GraphView(graph).address
    graph.write_bytes(b"no graph")
    with pytest.raises(OSError):
        model_of(address)
    graph.unlink()
    assert model_of(address)[0] == 404
    assert capfd.readouterr() == ("", "")


def test_without_netron_there_is_a_sentence_and_the_picture(graph, monkeypatch):
    monkeypatch.setattr(graph_server, "netron_folder", lambda: None)
    view, sent = GraphView(graph), []
    monkeypatch.setattr(GraphView, "send", lambda self, content, buffers: sent.append(buffers[0]))
    view._handle_custom_msg({"want": "picture"}, [])
    assert view.address == "" and "course.py setup" in view.message
    assert sent[0].startswith(b"\x89PNG")


def test_the_still_picture_stands_where_widgets_do_not_run(graph):
    shown = GraphView(graph)._repr_mimebundle_()
    data = shown[0] if isinstance(shown, tuple) else shown
    assert data["image/png"].startswith(b"\x89PNG")
    page = in_page.as_html(GraphView(graph))
    assert "netron" in page and "data:image/png" in page and "127.0.0.1" not in page


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"no_such\.onnx does not exist"):
        GraphView("no_such.onnx")
