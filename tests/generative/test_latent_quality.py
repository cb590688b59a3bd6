from __future__ import annotations

import numpy as np
import pytest
import torch
from prototypes import PROTOTYPES
from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode
from generative import latent_quality
from generative.equivalents import WAYS
from generative.latent_quality import invariance_figures, ridge_r2, smoothness_figures, speed_figures
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import WyckoffRepresentation

SALT = PROTOTYPES["rock salt"]


def test_a_linear_property_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    z, test = rng.normal(size=(400, 5)), rng.normal(size=(200, 5))
    weights = np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    assert ridge_r2(z, 5 + z @ weights, test, 5 + test @ weights) == pytest.approx(1, abs=1e-3)
    assert ridge_r2(z, rng.normal(size=400), test, rng.normal(size=200)) < 0.05


def test_unknown_labels_are_left_out_and_too_few_give_nothing():
    z, y = np.arange(10.0)[:, None], np.arange(10.0)
    y[3] = np.nan
    assert ridge_r2(z, y, z, y) == pytest.approx(1, abs=0.05)
    assert ridge_r2(z, np.full(10, np.nan), z, y) is None
    assert ridge_r2(z, y, z[:1], y[:1]) is None


class Measuring:
    """Encodes to a number that a crystal's description decides."""

    latent_dim = 1

    def __init__(self, measure) -> None:
        self.measure = measure

    def encode(self, xs):
        return [torch.tensor([self.measure(x)], dtype=torch.float64) for x in xs]


def test_what_does_not_depend_on_the_description_is_invariant():
    figures = invariance_figures(Measuring(lambda x: x.volume / len(x)), [SALT] * 5, 0)
    assert len(figures) == 1 + len(WAYS)
    assert {figure.value for figure in figures.values()} == {1.0}
    assert figures["z_invariant"].n == 5


def test_what_does_is_told_way_by_way():
    figures = invariance_figures(Measuring(len), [SALT] * 5, 0)
    assert figures["z_invariant"].value == 0
    assert figures["z_invariant_sites_permuted"].value == 1
    assert figures["z_invariant_supercell"].value == 0


def test_a_failure_to_encode_is_a_change():
    class Failing(Measuring):
        def encode(self, xs):
            failure = EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "")
            return [failure if i == 2 else z for i, z in enumerate(super().encode(xs))]

    figures = invariance_figures(Failing(lambda x: 1.0), [SALT] * 3, 0)
    assert (figures["z_invariant"].value, figures["z_invariant_origin_shifted"].value) == (0, 0)


class Swelling:
    """Rock salt, larger along the first latent; potassium where that is positive."""

    latent_dim = 3

    def decode(self, z, *, within, seed):
        found = []
        for x in z[:, 0].tolist():
            if x > 2:
                found.append(DecodeFailure(FailureCode.DECODE_DEAD_END, ""))
                continue
            lattice = Lattice(SALT.lattice.matrix * (1 + 0.01 * x))
            found.append(Structure(lattice, ["K" if x > 0 else "Na", "Cl"], SALT.frac_coords))
        return found


def test_steps_along_segments_are_compared_one_by_one(monkeypatch):
    monkeypatch.setattr(latent_quality, "SEGMENTS", 12)
    figures = smoothness_figures(Swelling(), 0)
    assert 0.9 < figures["smooth_composition"].value < 1
    assert figures["smooth_both"].value <= figures["smooth_space_group"].value <= 1
    assert figures["smooth_rmsd"].value == pytest.approx(0, abs=1e-6)
    assert 0 < figures["smooth_volume"].value < 0.03 * 0.05
    assert 1 < figures["crystals_per_segment"].value < 3
    assert figures["smooth_composition"].n == 12 * 20


def test_speeds_are_per_second_both_ways():
    class Quick(Swelling):
        representation = WyckoffRepresentation()

    figures = speed_figures(Quick(), [SALT] * 10)
    assert figures["featurize_per_second"].n == 10
    assert all(figure.value > 0 and figure.unit == "1/s" for figure in figures.values())
