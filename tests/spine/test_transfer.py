"""What a transfer says of itself; tests/spine/test_any_model.py and the rooms' tests have the rest."""

from helpers.transfer import TransferReport, TransferRow


def test_statuses():
    def status(difference, target="x"):
        return TransferRow(("a",), target, (1,), "copied", difference, scale=2.0).status

    assert [status(0.0), status(1e-7), status(2.1e-6), status(1.0), status(float("nan"))] == [
        "exact", "close", "different", "different", "different",
    ]  # fmt: skip
    assert status(0.0, target="") == "unused"


def test_a_name_cannot_become_markup():
    report = TransferReport("<b>x", (TransferRow(("<i>a",), "t", (1,), "copied"),))
    assert "<b>" not in report._repr_html_() and "<i>" not in report._repr_html_()
