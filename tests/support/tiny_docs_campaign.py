"""A campaign that stands in for those of the pages: the same shape, a potential that takes milliseconds."""

from __future__ import annotations


def tiny_campaign(name: str, last: str = "density", goal: str = "density_g_cm3") -> str:
    """As YAML: four alloys of the metals that EMT knows, and what the last oracle measures."""
    return f"""
name: {name}
seed: 3
workers: 1
space: {{elements: {{include: [Cu, Ag, Au, Ni, Pd, Pt, Al]}}, n_elements: [2, 3], n_atoms: [2, 6]}}
start: {{kind: generator_samples, n: 4}}
oracles: [{{kind: relax, calculator: "ase.calculators.emt:EMT"}}, {last}]
objectives: {{{goal}: minimize}}
batch_size: 4
pool_size: 16
budget: {{oracle_calls: 4}}
"""
