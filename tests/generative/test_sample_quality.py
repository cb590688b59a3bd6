from __future__ import annotations

import numpy as np
import pytest
import torch
from prototypes import PROTOTYPES, perovskite
from pymatgen.core import Composition, Lattice, Structure

from campaigns.records import FailureCode
from generative import sample_quality
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import fingerprint
from generative.sample_quality import (
    counted_elements,
    frequency_random,
    neutrality_figures,
    sample_figures,
    sampled,
    ternary_figures,
)

SALT, RUTILE = PROTOTYPES["rock salt"], PROTOTYPES["rutile"]
SQUEEZED = Structure(Lattice.cubic(0.9), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
FAILURE = DecodeFailure(FailureCode.DECODE_DEAD_END, "no way on")


class Reciting:
    """A generator that decodes to the same answers again and again."""

    latent_dim = 2

    def __init__(self, *answers: Structure | DecodeFailure) -> None:
        self.answers, self.spaces = answers, []

    def decode(self, z, *, within, seed, temperature):
        self.spaces.append(within)
        return [self.answers[i % len(self.answers)] for i in range(len(z))]


def test_a_latent_that_gives_no_crystal_counts_against_every_figure():
    figures = sample_figures(sampled(Reciting(SALT, FAILURE, SQUEEZED, SALT), 40, 0), lambda mark: False)
    values = {name: figure.value for name, figure in figures.items()}
    assert values == {
        "sample_decoded": 0.75,
        "sample_valid": 0.5,
        "sample_unique": 1 / 40,  # nobody looks for symmetry in the squeezed cell
        "sample_new": 0.5,
        "sample_unique_new": 1 / 40,
    }
    assert all(figure.n == 40 and figure.rule for figure in figures.values())


def test_new_is_what_the_table_does_not_know():
    samples = sampled(Reciting(SALT, RUTILE), 10, 0)
    figures = sample_figures(samples, lambda mark: mark == fingerprint(SALT))
    assert (figures["sample_new"].value, figures["sample_unique_new"].value) == (0.5, 0.1)
    without = sample_figures(samples, None)
    assert without["sample_new"].value is None
    assert without["sample_new"].rule == "no table of known materials was given"


def test_the_same_seed_draws_the_same_latents():
    class Recording(Reciting):
        def decode(self, z, *, within, seed, temperature):
            self.z = z
            return super().decode(z, within=within, seed=seed, temperature=temperature)

    drawn = []
    for seed in (1, 1, 2):
        generator = Recording(SALT)
        sampled(generator, 5, seed)
        drawn.append(generator.z)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_neutrality_stands_beside_the_data_and_random_elements():
    data = ["NaCl", "MgO", "CaF2", "FeAl", "KBr", "ZnS"]
    figures = neutrality_figures(sampled(Reciting(SALT, FAILURE), 10, 0), data, 0)
    assert (figures["neutral_samples"].value, figures["neutral_samples"].n) == (1.0, 5)
    assert (figures["neutral_data"].value, figures["neutral_data"].n) == (pytest.approx(5 / 6), 6)
    assert figures["neutral_random"].n == 6
    assert "include_alloys=False" in figures["neutral_data"].rule
    assert "ICSD24" in figures["neutral_data"].rule


def test_random_elements_keep_amounts_and_frequencies():
    data = ["TiO2"] * 90 + ["SrTiO3"] * 10
    drawn = frequency_random(["SrTiO3"] * 50, data, 0)
    for formula in drawn:
        assert sorted(Composition(formula).get_el_amt_dict().values()) == [1, 1, 3]
    assert frequency_random(["C"], ["C"], 0) == ["C"]
    single = frequency_random(["Ti"] * 400, data, 0)
    assert np.mean([formula == "Sr" for formula in single]) == pytest.approx(10 / 210, abs=0.03)


def test_ternary_spaces_ask_for_all_three_elements(monkeypatch):
    monkeypatch.setattr(sample_quality, "TERNARY_SYSTEMS", 3)
    monkeypatch.setattr(sample_quality, "TERNARY_LATENTS", 4)
    generator = Reciting(perovskite("Sr", "Ti"), FAILURE, SALT, perovskite("Sr", "Ti"))
    figures = ternary_figures(generator, ["SrTiO3", "UO2", "XeF2"], 0)  # neither uranium nor xenon is asked for
    systems = [sorted(space.elements.required) for space in generator.spaces]
    assert all(len(system) == 3 and not {"U", "Xe"} & set(system) for system in systems)
    ours = [system == ["O", "Sr", "Ti"] for system in systems]
    assert figures["ternary_inside"].n == 12
    assert figures["ternary_inside"].value == pytest.approx(sum(ours) * 2 / 12)
    assert figures["ternary_unique"].value == pytest.approx(sum(ours) / 4 / 3)


def test_two_elements_span_no_ternary_system():
    figures = ternary_figures(Reciting(SALT), ["NaCl"], 0)
    assert figures["ternary_inside"].value is None


def test_elements_are_counted_once_a_crystal():
    counts = counted_elements([Composition("TiO2"), Composition("Na2O")])
    assert (counts["O"], counts["Ti"], counts["Fe"]) == (2, 1, 0)
