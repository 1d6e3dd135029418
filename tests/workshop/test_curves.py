"""The training's metrics as a picture: what is drawn is what the files say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.support.errors import InputError
from workshop.training import curves

CODEC = (
    "step,minutes,loss,snr,si_sdr,log_mel,score\n10,1,3.0,2.0,1.0,0.5,\n20,2,2.5,3.0,2.0,0.4,2.1\n"
    "30,3,2.0,4.0,3.0,0.3,2.0\n"
)
TRANSFORMER = (
    "step,minutes,loss,nll_25,nll_50,nll_75,score\n10,1,6.9,6.5,6.6,6.7,6.6\n20,2,6.8,6.3,6.4,6.5,6.4\n"
)


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "codec.csv").write_text(CODEC, encoding="utf-8")
    for name in ("coarse", "c2f"):
        (tmp_path / f"{name}.csv").write_text(TRANSFORMER, encoding="utf-8")
    return tmp_path


def test_a_line_shows_its_column_and_another_when_the_quantizer_came(directory):
    metrics = curves.read_metrics(directory / "codec.csv", ["snr"])
    _, ax = plt.subplots()
    curves.panel(metrics, {"snr": "SNR", "si_sdr": "SI-SDR"}, "codec", "dB", ax)
    snr, si_sdr, quantizer = ax.lines
    np.testing.assert_array_equal(snr.get_xydata(), [[1, 2], [2, 3], [3, 4]])
    np.testing.assert_array_equal(si_sdr.get_ydata(), [1, 2, 3])
    assert set(quantizer.get_xdata()) == {2} and ax.get_ylabel() == "dB"
    plt.close("all")


def test_the_picture_is_written_beside_the_metrics(directory):
    path = curves.draw(directory)
    assert path == directory / "training.png"
    assert plt.imread(path).std() > 0.01


@pytest.mark.parametrize(
    "content", [None, "", "minutes,snr\n", "minutes,snr\n1,loud\n", "minutes,log_mel\n1,2,3\n"]
)
def test_what_holds_no_metrics_is_refused(directory, content):
    path = directory / "codec.csv"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"codec\.csv holds no metrics"):
        curves.draw(directory)
    assert not (directory / "training.png").exists()


def test_a_file_without_a_column_is_named(directory):
    (directory / "c2f.csv").write_text("minutes,nll_25\n1,6.5\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"c2f\.csv has no column 'nll_50'"):
        curves.draw(directory)
