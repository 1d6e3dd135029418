"""The museum of failures: each damage keeps all shapes and changes what comes out."""

import pytest
import torch

from helpers.checkpoints import GOLDEN
from helpers.errors import InputError
from helpers.museum import PIECES, without
from helpers.transfer import load_models


@pytest.fixture(scope="module")
def coarse():
    return load_models(GOLDEN).coarse


@pytest.fixture(scope="module")
def codes(coarse):
    shape = (1, coarse.config.n_codebooks, 30)
    return torch.randint(0, coarse.config.vocab_size + 1, shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("piece", PIECES)
def test_a_damage_keeps_the_shape_and_changes_the_scores(piece, coarse, codes):
    before = {name: value.clone() for name, value in coarse.state_dict().items()}
    with torch.no_grad():
        whole, damaged = coarse(codes), without(piece, coarse)(codes)
    assert damaged.shape == whole.shape and damaged.isfinite().all()
    assert torch.equal(damaged, whole) == (piece == "nothing")
    assert all(torch.equal(value, before[name]) for name, value in coarse.state_dict().items())


def test_the_classifiers_wrong_order_is_that_of_codes_first(coarse, codes):
    n_books, size = coarse.config.n_predicted, coarse.config.vocab_size
    with torch.no_grad():
        whole, damaged = coarse(codes), without("classifier's order", coarse)(codes)
    rows = whole.permute(0, 2, 3, 1).flatten(
        2
    )  # as the classifier makes them: the codebook is the fast index
    assert torch.allclose(damaged, rows.unflatten(-1, (n_books, size)).permute(0, 2, 1, 3), atol=1e-6)


def test_an_unknown_piece_is_named():
    with pytest.raises(InputError, match="no piece 'the roof'"):
        without("the roof", load_models(GOLDEN).coarse)
