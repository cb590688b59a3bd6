from __future__ import annotations

import numpy as np
import pytest
import torch

from generative.batches import to_batch
from generative.canonical import WyckoffCode
from generative.datasets import stack
from generative.lattice_shape import lattice_from_shape, lattice_shape
from generative.sites import cell_matrices
from generative.symmetry import space_group

CELLS = {
    "triclinic": (2, (4.1, 5.2, 6.3, 82, 75, 68)),
    "monoclinic": (14, (5.1, 5.2, 5.3, 90, 99, 90)),
    "C-centred": (12, (12.2, 3.0, 5.8, 90, 103, 90)),
    "orthorhombic": (62, (5.4, 7.6, 5.3, 90, 90, 90)),
    "A-centred": (38, (5.4, 7.6, 5.3, 90, 90, 90)),
    "tetragonal": (141, (3.8, 3.8, 9.5, 90, 90, 90)),
    "rhombohedral": (167, (4.8, 4.8, 13.0, 90, 90, 120)),
    "hexagonal": (194, (3.2, 3.2, 5.2, 90, 90, 120)),
    "cubic": (225, (5.6, 5.6, 5.6, 90, 90, 90)),
}


def _code(number: int, lattice: tuple[float, ...] = (5, 5, 5, 90, 90, 90)) -> WyckoffCode:
    """One atom on each of the last two positions, at a quarter where they are free."""
    group = space_group(number)
    positions = np.array([len(group.positions) - 1, len(group.positions) - 1])
    coords = np.zeros((2, 3))
    for k, j in enumerate(positions):
        coords[k, list(group.positions[j].free)] = 0.17 + 0.21 * k
    return WyckoffCode(number, positions, np.array([8, 22]), coords, np.array(lattice, dtype=float))


@pytest.mark.parametrize("system", CELLS)
def test_lattice_numbers_invert(system):
    number, lattice = CELLS[system]
    code = _code(number, lattice)
    shape = lattice_shape(stack([code]))
    np.testing.assert_allclose(
        lattice_from_shape(shape, np.array([number]), np.array([code.n_atoms]))[0], lattice, rtol=1e-9
    )


@pytest.mark.parametrize("system", CELLS)
def test_lattice_numbers_a_system_lacks_are_ignored(system):
    number, _ = CELLS[system]
    noise = np.array([0.9, 0.1, -0.2, 0.05, 0.1, -0.05])
    a, b, c, alpha, beta, gamma = lattice_from_shape(noise[None], np.array([number]), np.array([4]))[0]
    kind = space_group(number).system
    if kind not in ("triclinic", "monoclinic", "orthorhombic"):
        assert a == pytest.approx(b)
    if kind == "cubic":
        assert a == pytest.approx(c)
    if kind != "triclinic":
        assert alpha == pytest.approx(90)
        assert gamma == pytest.approx(120 if kind == "hexagonal" else 90)
    if kind not in ("triclinic", "monoclinic"):
        assert beta == pytest.approx(90)


def test_every_angle_decodes_to_a_cell():
    shapes = np.zeros((50, 6))
    shapes[:, 3:] = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 3))
    lattices = lattice_from_shape(shapes, np.full(50, 1), np.full(50, 4))
    volumes = np.linalg.det(cell_matrices(lattices))
    np.testing.assert_allclose(volumes, 4, rtol=1e-6)


def test_encoder_ignores_the_order_of_orbits(network):
    code = _code(62)
    turned = WyckoffCode(62, code.positions[::-1], code.elements[::-1], code.coords[::-1], code.lattice)
    first, second = (network.encoder(to_batch(stack([c]), torch.device("cpu")))[0] for c in (code, turned))
    assert torch.allclose(first, second, atol=1e-5)


def test_encoder_ignores_padding(network):
    short, long = _code(225), _code(62)
    long = WyckoffCode(
        62, *(np.repeat(v, 3, axis=0) for v in (long.positions, long.elements, long.coords)), long.lattice
    )
    alone = network.encoder(to_batch(stack([short]), torch.device("cpu")))[0]
    beside = network.encoder(to_batch(stack([short, long]), torch.device("cpu")))[0][:1]
    assert torch.allclose(alone, beside, atol=1e-5)


def test_encoder_tells_coordinates_one_period_apart_as_equal(network):
    code = _code(62)
    moved = WyckoffCode(62, code.positions, code.elements, code.coords + 1.0, code.lattice)
    first, second = (network.encoder(to_batch(stack([c]), torch.device("cpu")))[0] for c in (code, moved))
    assert torch.allclose(first, second, atol=1e-4)


def test_reconstruction_is_finite_and_positive(network):
    batch = to_batch(stack([_code(number, cell) for number, cell in CELLS.values()]), torch.device("cpu"))
    parts = network.decoder.reconstruction(torch.randn(len(CELLS), 6), batch)
    assert set(parts) == {"space_group", "positions", "elements", "composition", "coords", "lattice"}
    for name, part in parts.items():
        assert part.shape == (len(CELLS),)
        assert torch.isfinite(part).all(), name
        assert (part >= -1e-5).all(), name


def test_positions_a_group_lacks_are_never_likely(network):
    numbers = torch.tensor([1, 225])
    hidden = network.decoder.hidden(torch.randn(2, 6), numbers, torch.zeros(2, 0, 16))
    logits = network.decoder.position_logits(hidden, numbers, network.decoder.sites.of_group(numbers))[:, 0]
    for row, number in enumerate((1, 225)):
        size = len(space_group(number).positions)
        assert torch.isfinite(logits[row, :size]).all()
        assert (logits[row, size:-1] == -torch.inf).all()
        assert torch.isfinite(logits[row, -1])


def test_states_found_one_by_one_are_those_found_together(network):
    """Decoding keeps keys and values; training sees whole sequences."""
    decoder, numbers = network.decoder, torch.tensor([1, 62, 225])
    z, previous = torch.randn(3, 6), torch.randn(3, 4, 16)
    together = decoder.hidden(z, numbers, previous)
    condition = decoder.from_z(z) + decoder.group(numbers)
    memory = [(torch.zeros(3, 2, 5, 8), torch.zeros(3, 2, 5, 8)) for _ in decoder.body.layers]
    tokens = torch.cat([torch.zeros(3, 1, 16), previous], dim=1) + condition[:, None] + decoder.order.weight[:5]
    for step in range(5):
        assert torch.allclose(decoder.next_hidden(tokens[:, step], step, memory), together[:, step], atol=1e-5)


def test_a_present_element_is_made_likelier_everywhere(network):
    hidden, position = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    present = torch.zeros(2, 104)
    before = network.decoder.element_logits(hidden, position, present).softmax(-1)
    present[:, 26] = 2.0
    after = network.decoder.element_logits(hidden, position, present).softmax(-1)
    assert (after[..., 26] > before[..., 26]).all()
    assert (after[..., 0] == 0).all()
