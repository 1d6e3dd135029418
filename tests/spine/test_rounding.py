"""Few bits: grids, rounded weights, what is calibrated and what learns."""

import pytest
import torch
from torch import nn

from helpers.layers.images import ConvNorm, Separable, folded
from helpers.layers.rounding import Grid, RoundedConv, calibrate, levels, nearest, rounded


def a_row(activation="relu"):
    torch.manual_seed(0)
    row = nn.Sequential(ConvNorm(1, 8, 3, 2, 1, activation), Separable(8, 12, activation=activation))
    row.train()(torch.randn(16, 1, 20, 20) * 5 + 3)
    return row.eval()


def test_rounding_lets_gradients_pass():
    x = torch.tensor([-1.5, -0.4, 0.5, 1.5, 2.6], requires_grad=True)
    y = nearest(x)
    assert y.tolist() == [-2.0, 0.0, 0.0, 2.0, 3.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0] * 5


def test_a_grid_learns_its_step():
    grid = Grid(4, signed=False)
    grid.log_step.data.fill_(-3.0)
    x = torch.linspace(-1, 5, 200)
    places = grid.places(x)
    assert places.min() == 0 and places.max() == 15 and torch.equal(places, places.round())
    grid(torch.full((3,), 5.0)).sum().backward()  # above the grid's end: a larger step would come nearer
    assert grid.log_step.grad > 0
    signed = Grid(4, signed=True)
    assert (signed.low, signed.high) == (-8, 7)


@pytest.mark.parametrize("bits, allowed", [(8, 127), (4, 7), (3, 3), (2, 1)])
def test_levels_of_weights(bits, allowed):
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[2] *= 100
    weight[3] = 0
    whole, steps = levels(weight, bits)
    assert whole.abs().max() == allowed and torch.equal(whole, whole.round()) and steps.shape == (6,)
    assert (whole[3] == 0).all()
    apart = (whole * steps[:, None, None, None] - weight).abs().amax((1, 2, 3))
    assert bits == 2 or (apart <= 0.5001 * steps).all()


def test_eight_bits_cost_little_and_two_much():
    row, x = a_row(), torch.randn(8, 1, 20, 20) * 5 + 3
    with torch.no_grad():
        whole, costs = row(x), []
        for bits in (8, 4, 2):
            small = rounded(row, bits, 8)
            calibrate(small, x)
            costs.append(((small(x) - whole).norm() / whole.norm()).item())
    assert costs[0] < 0.02 < costs[1] < costs[2]


def test_outputs_lie_on_the_grid_and_below_zero_where_they_must():
    row, x = a_row("silu"), torch.randn(8, 1, 20, 20) * 5 + 3
    small = rounded(row, 8, 4)
    calibrate(small, x)
    with torch.no_grad():
        made = small(x) / small[1].pointwise.after.step
    assert made.min() < 0 and (made - made.round()).abs().max() < 1e-4 and made.unique().numel() <= 16


def test_every_convolution_takes_up_its_norm():
    small = rounded(nn.Sequential(nn.BatchNorm2d(1).eval(), *a_row()), 4, 4)
    kinds = [type(part).__name__ for part in small.modules()]
    assert "BatchNorm2d" not in kinds and kinds.count("RoundedConv") == 3
    convs = [part for part in small.modules() if isinstance(part, RoundedConv)]
    assert [one.weight_bits for one in convs] == [8, 4, 4]
    assert isinstance(convs[0].before, Grid) and all(isinstance(one.before, nn.Identity) for one in convs[1:])


def test_training_with_rounding_gives_back_what_rounding_cost():
    row, x = a_row(), torch.randn(16, 1, 12, 12, generator=torch.Generator().manual_seed(1)) * 5 + 3
    wanted = folded(row)(x)
    small = rounded(row, 2, 4)
    calibrate(small, x)
    optimizer = torch.optim.Adam(small.parameters(), 1e-3)
    losses = []
    for _ in range(80):
        loss = (small(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.8 * losses[0]  # the best is what is kept


def test_what_depends_on_the_length_is_refused():
    with pytest.raises(ValueError, match="padding"):
        rounded(nn.Sequential(ConvNorm(1, 4, 3, 2, striding="same")), 8, 8)
