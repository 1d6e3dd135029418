"""What a transfer says of itself; tests/spine/test_any_model.py and the rooms' tests have the rest."""

import pytest
import torch
from refusals import refused
from torch import nn

from helpers.transfer import Transfer, TransferReport, TransferRow


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


@pytest.mark.parametrize("front", ["net.", "student.net.", "\x1b[2J."])
@pytest.mark.parametrize("more", [{}, {"steps": torch.ones(1)}])
def test_names_with_something_in_front_are_told_as_what_they_are(front, more):
    with torch.device("meta"):
        module = nn.Linear(2, 3)
    given = {f"{front}weight": torch.ones(3, 2), f"{front}bias": torch.ones(3)} | more
    transfer = Transfer("some.pth", module, given)
    transfer.copy("weight", "weight")
    transfer.copy("bias", "bias")
    with refused(
        "some.pth", f"{'a' if more else 'every'} name left over begins with {front!r}", "leave it out"
    ):
        transfer.finish()
