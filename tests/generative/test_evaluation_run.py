"""A generator judged end to end, by a table it was trained on and by one it was not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Structure

from campaigns.errors import UserError
from generative import latent_quality, sample_quality
from generative.evaluation import MISS, Comparison
from generative.evaluation_run import Evaluation, evaluate_generator
from generative.models.wyckoff_vae import WyckoffVae
from generative.plots import (
    LAST_GROUP,
    by_atoms,
    by_system,
    crystal_system,
    elements,
    latent_map,
    page,
    space_groups,
    write_evaluation,
)
from generative.training_run import train_generator
from generative.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    latent=6,
    width=16,
    heads=2,
    layers=1,
    epochs=1,
    batch=8,
    max_atoms=30,
    held_out=0.2,
    prior_steps=4,
    denoiser=8,
)
FIGURES = {
    "latent_dim",
    *("match", "rmsd", "volume_error", "exact_of_matched", "exact"),
    *("sample_decoded", "sample_valid", "sample_unique", "sample_new", "sample_unique_new"),
    *("neutral_samples", "neutral_data", "neutral_random", "ternary_inside", "ternary_unique"),
    *("r2_formation_energy_ev_atom", "head_mae_formation_energy_ev_atom"),
    *("z_invariant", "z_invariant_sites_permuted", "z_invariant_origin_shifted", "z_invariant_supercell"),
    *("z_invariant_another_cell_rotated", "z_invariant_supercell_of_that"),
    *("smooth_composition", "smooth_space_group", "smooth_both", "smooth_rmsd", "smooth_volume"),
    *("crystals_per_segment", "featurize_per_second", "decode_per_second"),
}


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "TERNARY_SYSTEMS", 2)
        patch.setattr(sample_quality, "TERNARY_LATENTS", 5)
        patch.setattr(latent_quality, "SEGMENTS", 2)
        patch.setattr(latent_quality, "SPEED_LATENTS", 10)
        patch.setattr(latent_quality, "INVARIANCE_CRYSTALS", 4)
        yield


@pytest.fixture(scope="module")
def weights(table, tmp_path_factory) -> Path:
    return train_generator(table, tmp_path_factory.mktemp("run") / "vae", SETTINGS).parent


@pytest.fixture(scope="module")
def own(weights, table) -> Evaluation:
    """By the table it was trained on."""
    return evaluate_generator(str(weights), table, samples=20, known=lambda mark: False)


def test_every_figure_has_value_unit_number_and_rule(own):
    figures = own.document["figures"]
    assert set(figures) == FIGURES
    for figure in figures.values():
        assert set(figure) == {"value", "unit", "n", "rule"}
        assert figure["rule"]
    assert own.document["data"]["rows"] == 24
    assert own.document["data"]["refused"]["rows"] == 3
    json.dumps(own.document, allow_nan=False)


def test_on_its_training_table_only_the_held_out_rows_count(own, weights):
    assert own.document["judged_on"].startswith("the held-out rows of the training set: 20% of reduced formulas")
    held = WyckoffVae.load(weights, torch.device("cpu")).held_out()
    assert own.document["figures"]["match"]["n"] == len(held) == len(own.comparisons)
    ours = sorted(x.composition.reduced_formula for x in own.subject.crystals)
    assert ours == sorted(x.composition.reduced_formula for x in held)


def test_on_another_table_every_row_counts_and_a_failure_to_encode_is_a_miss(weights, table, tmp_path):
    rows = pd.read_csv(table).drop(columns="formation_energy_per_atom")
    heavy = Structure(np.eye(3) * 5, ["Rf", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(fmt="cif")  # beyond the encoder
    pd.concat([rows[:6], rows[-3:], pd.DataFrame({"cif": [heavy]})]).to_csv(tmp_path / "other.csv", index=False)
    found = evaluate_generator(str(weights), tmp_path / "other.csv", samples=5)
    figures = found.document["figures"]
    assert found.document["judged_on"].startswith("all rows of other.csv, not the training set")
    assert found.subject.rows == (0, 1, 2, 3, 4, 5, 9)
    assert figures["match"]["n"] == 7
    assert found.comparisons[-1] == MISS
    assert found.document["data"]["refused"]["rows"] == 4
    assert figures["r2_formation_energy_ev_atom"]["value"] is None
    assert figures["sample_new"]["value"] is None
    assert "coloured by atoms" in latent_map(found.subject).layout.title.text


def test_a_limit_draws_that_many_and_says_so(weights, table):
    found = evaluate_generator(str(weights), table, samples=5, limit=2)
    assert found.document["figures"]["match"]["n"] == 2
    assert "2 of them at random, seed 0" in found.document["judged_on"]


def test_weights_that_are_none_are_one_line(tmp_path, table):
    with pytest.raises(UserError, match=r"--weights: .*holds no model\.safetensors"):
        evaluate_generator(str(tmp_path), table)


def test_the_page_opens_without_a_network(own, tmp_path):
    write_evaluation(own, tmp_path)
    text = (tmp_path / "evaluation.html").read_text("utf-8")
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"<script[^>]+src|<link|<img|<iframe|https?://", markup)
    assert not re.findall(r"<script[^>]+src=", text)
    assert text.count("Plotly.newPlot") >= 5
    for name in FIGURES:
        assert f"<td>{name}</td>" in markup
    assert json.loads((tmp_path / "evaluation.json").read_text()) == own.document
    assert len(pd.read_csv(tmp_path / "refused_rows.csv")) == 3


def test_what_a_file_is_called_cannot_write_markup(own):
    document = {**own.document, "data": {**own.document["data"], "name": "<script>x</script>.csv"}}
    assert "<script>x" not in page(Evaluation(document, own.subject, own.comparisons, own.samples))


def test_reconstruction_is_shown_by_atoms_and_by_system(own):
    hit, miss = Comparison(True, 0.0, 0.0), Comparison(False, None, None)
    comparisons = [hit if len(x) <= 5 else miss for x in own.subject.crystals]
    (bars,) = by_atoms(comparisons, own.subject).data
    assert [int(x) for x in bars.x] == sorted({len(x) for x in own.subject.crystals})
    assert all((y == 1) == (int(x) <= 5) for x, y in zip(bars.x, bars.y, strict=True))
    (bars,) = by_system(comparisons, own.subject).data
    assert set(bars.x) <= set(LAST_GROUP)
    assert sum(int(text.removeprefix("n = ")) for text in bars.text) == len(comparisons)


def test_histograms_add_up(own):
    for figure in (space_groups(own), elements(own)):
        data, samples = figure.data
        assert (data.name.partition(" ")[0], samples.name.partition(" ")[0]) == ("data", "samples")
        assert len({data.marker.color, samples.marker.color}) == 2
    assert sum(space_groups(own).data[0].y) == pytest.approx(1)
    assert sum(space_groups(own).data[1].y) == pytest.approx(1)


def test_the_latent_map_has_a_point_for_every_encoded_crystal(own):
    (points,) = latent_map(own.subject).data
    assert len(points.x) == len(points.y) == len(own.subject.crystals)
    assert points.marker.colorbar.title.text == "formation_energy_ev_atom"


@pytest.mark.parametrize(
    ("number", "system"), [(1, "triclinic"), (62, "orthorhombic"), (166, "trigonal"), (194, "hexagonal")]
)
def test_crystal_systems(number, system):
    assert crystal_system(number) == system
