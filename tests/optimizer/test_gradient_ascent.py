"""Latents follow a gradient: where they end, what is kept of the way, and what happens where there is no way on."""

from __future__ import annotations

import torch
from linear_operator.utils.errors import NotPSDError

from optimizer.gradient_ascent import STEP, STEPS, gradient_ascent

TARGET = torch.tensor([[1.5, -1.5, 1.5]], dtype=torch.float64)
ROWS = torch.zeros(2, 5, dtype=torch.float64) + torch.arange(5.0, dtype=torch.float64) / 10


def nearness(rows):
    return -(rows[:, :3] - TARGET).square().sum(1)


def test_latents_approach_what_is_worth_more_and_the_end_comes_last():
    way = gradient_ascent(nearness, ROWS, 3, 8).reshape(4, 2, 3)
    worth = [float(nearness(torch.cat([z, ROWS[:, 3:]], dim=1)).sum()) for z in (ROWS[:, :3], *way)]
    assert worth == sorted(worth)
    assert float((way[-1] - way[0]).norm()) > STEP


def test_descriptors_stay_as_they_are():
    seen = []
    gradient_ascent(lambda rows: seen.append(rows[:, 3:].detach().clone()) or nearness(rows), ROWS, 3, 4)
    assert len(seen) == STEPS
    assert all(torch.equal(each, ROWS[:, 3:]) for each in seen)


def test_as_many_latents_as_asked_for_but_no_more_than_there_are_places():
    whole = gradient_ascent(nearness, ROWS, 3, 100)
    assert whole.shape == (2 * STEPS, 3)
    for n in (1, 2, 3, 7, 16):
        some = gradient_ascent(nearness, ROWS, 3, n)
        assert some.shape == (n, 3)
        assert torch.equal(some[-1], whole[-1])


def test_the_way_does_not_depend_on_the_scale_of_what_a_row_is_worth():
    scale = torch.tensor([1e-4, 1e4], dtype=torch.float64)
    plain = gradient_ascent(nearness, ROWS, 3, 16)
    torch.testing.assert_close(
        gradient_ascent(lambda rows: scale * nearness(rows), ROWS, 3, 16), plain, atol=1e-3, rtol=0
    )


def test_where_rows_have_come_too_close_the_way_ends():
    left = [3]

    def until_then(rows):
        left[0] -= 1
        if left[0] < 0:
            raise NotPSDError("no root")
        return nearness(rows)

    assert gradient_ascent(until_then, ROWS, 3, 100).shape == (2 * 3, 3)
    assert gradient_ascent(until_then, ROWS, 3, 100).shape == (0, 3)


def test_a_row_without_a_finite_gradient_stays_where_it_is():
    def broken(rows):
        return nearness(rows) * torch.tensor([torch.nan, 1.0], dtype=torch.float64)

    first, second = gradient_ascent(broken, ROWS, 3, 2)
    assert torch.equal(first, ROWS[0, :3])
    assert not torch.equal(second, ROWS[1, :3])
