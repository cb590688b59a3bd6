"""What the surrogate sees of what was measured."""

from __future__ import annotations

import pytest
import torch
from pymatgen.core import Lattice, Structure

from campaigns.ledger import Latent
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer import evidence as evidence_module
from optimizer.build import build
from optimizer.evidence import evidence, find_latents, observed_values
from optimizer.objective import CampaignObjective

SPEC = parse_spec(
    {
        "name": "evidence",
        "device": "cpu",
        "oracles": ["volume", "density"],
        "objectives": {"density_g_cm3": "maximize"},
        "constraints": {"volume_ang3_atom": {"max": 100.0}},
        "budget": {"oracle_calls": 3},
    }
)
SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
).get_primitive_structure()
DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
# twelve inequivalent atoms in a cell without symmetry: no latent of a model of common crystals decodes to it
NOBODYS = Structure(
    Lattice.from_parameters(7.1, 8.3, 9.2, 71, 83, 98),
    ["Cs", "F", "La", "Os", "B", "Xe", "Mg", "Te", "Pt", "H", "Se", "Ac"],
    torch.rand(12, 3, generator=torch.Generator().manual_seed(4)).tolist(),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return build(SPEC, tmp_path_factory.mktemp("campaign"))


def decoded(parts, z):
    return parts.generator.decode(torch.tensor([z], dtype=torch.float64), within=SPEC.space, seed=0)[0]


def candidate(parts, name, crystal, z=None):
    return Candidate(name, 0, "test", crystal, z, parts.generator.version)


def test_a_latent_decodes_to_the_relaxed_crystal_where_one_does(parts):
    relaxed = SALT.copy()
    relaxed.scale_lattice(SALT.volume * 1.05)
    found = find_latents(parts.generator, SPEC.space, [candidate(parts, "a", SALT)], [relaxed])
    assert found["a"].stands_for == "relaxed"
    again = decoded(parts, found["a"].z)
    assert again.composition == relaxed.composition
    assert again.volume == pytest.approx(relaxed.volume, rel=0.1)


def test_else_to_the_proposed_one_and_its_own_latent_is_the_last_resort(parts):
    z = tuple(torch.randn(parts.generator.latent_dim, generator=torch.Generator().manual_seed(2)).tolist())
    proposed = decoded(parts, z)
    found = find_latents(parts.generator, SPEC.space, [candidate(parts, "a", proposed, z)], [NOBODYS])
    assert found["a"].stands_for == "proposed"
    assert decoded(parts, found["a"].z).composition == proposed.composition


def test_an_encoders_mean_stands_for_the_crystal_that_was_encoded(parts):
    """The relaxed crystal has no code, and nothing decodes to the proposed one."""
    found = find_latents(parts.generator, SPEC.space, [candidate(parts, "a", NOBODYS)], [DISORDERED])
    assert found["a"].stands_for == "proposed"


def test_what_no_latent_decodes_to_stands_at_the_encoders_mean_and_what_has_no_code_nowhere(parts):
    both = [candidate(parts, "a", NOBODYS), candidate(parts, "b", DISORDERED)]
    found = find_latents(parts.generator, SPEC.space, both, [NOBODYS, DISORDERED])
    assert set(found) == {"a"}
    assert found["a"].stands_for == "nearest"
    assert found["a"].z == pytest.approx(parts.generator.encode([NOBODYS])[0].tolist())


def test_what_is_read_in_parts_is_whole_and_in_order(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_module, "AT_ONCE", 2)
    names = ["a", "b", "c", "d", "e"]
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as store:
        store.finish_phase(0, "start", candidates=[candidate(parts, name, SALT) for name in names])
        for name in ("d", "a", "e", "b"):  # c is still in hand
            store.record(name, parts.cascade.evaluate(SALT, 0))
        found = evidence(parts, store)
    assert [c.id for c in found.candidates] == ["a", "b", "d", "e"]
    assert len(found.values) == len(found.measured) == 4
    assert None not in found.values


def test_latents_in_the_ledger_are_not_sought_again(parts, tmp_path):
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as store:
        store.finish_phase(0, "start", candidates=[candidate(parts, "a", SALT), candidate(parts, "b", SALT)])
        for name in ("a", "b"):
            store.record(name, parts.cascade.evaluate(SALT, 0))
        first = evidence(parts, store)
        assert set(first.new) == {"a", "b"}
        assert first.figures() == {"proposed": 2, "none": 0}
        mine = Latent((1.0,) * parts.generator.latent_dim, "nearest")
        store.add_latents(parts.generator.version, {"a": mine, "b": first.latents["b"]})
        again = evidence(parts, store)
        assert again.new == {}
        assert again.latents["a"] == mine
        assert [o.z for o in again.history()] == [mine.z, first.latents["b"].z]


def test_a_failed_candidate_teaches_what_it_did_give_but_never_looks_complete():
    objective = CampaignObjective.from_spec(SPEC)
    volume = StageOutcome("volume", "1", Measured({"volume_ang3_atom": 9.0}, SALT))
    density = StageOutcome("density", "1", Measured({"density_g_cm3": 9.0}, SALT))
    failed = StageOutcome("space", "1", Failed(FailureCode.TOO_CLOSE, ""))
    assert observed_values([volume, density], objective) == {"volume_ang3_atom": 9.0, "density_g_cm3": 9.0}
    assert observed_values([volume, failed], objective) == {"volume_ang3_atom": 9.0}
    assert observed_values([volume, density, failed], objective) is None
