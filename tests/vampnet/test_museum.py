"""The museum of failures: each damage keeps all shapes and changes what comes out."""

import numpy as np
import pytest
import torch

from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.vampnet.files import GOLDEN
from helpers.vampnet.museum import PIECES, in_pieces_of, without
from helpers.vampnet.weights import load_models


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
    assert not torch.equal(damaged, whole)
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


def test_a_graph_for_one_length_is_fed_pieces_of_it_the_last_one_filled_up(coarse, codes):
    seen, graph, tokens = [], on_numpy(coarse), codes.numpy()

    def frozen(piece):
        seen.append(piece)
        return graph(piece)

    logits = in_pieces_of(12, frozen)(tokens)
    assert [piece.shape[-1] for piece in seen] == [12, 12, 12]
    assert (seen[2][..., :6] == tokens[..., 24:]).all() and (seen[2][..., 6:] == 0).all()
    np.testing.assert_array_equal(logits[:, :, 12:24], graph(tokens[..., 12:24]))
    assert logits.shape == graph(tokens).shape
    assert not np.allclose(logits, graph(tokens))
    np.testing.assert_array_equal(in_pieces_of(30, graph)(tokens), graph(tokens))
