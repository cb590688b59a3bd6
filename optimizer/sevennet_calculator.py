"""SevenNet-0 on the Materials Project's corrected energy scale. Importing this module loads neither torch nor sevenn.

SevenNet-0 (Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi:10.1021/acs.jctc.4c00190) is an equivariant
network of another architecture than CHGNet's, but learned the same set, MPtrj. It predicts what VASP gave, PBE or PBE+U
without corrections, so that oxides come out 0.44 eV/atom too high beside CHGNet. The MP2020 corrections (Wang et al.,
Sci. Rep. 11, 15496 (2021)) are added through pymatgen; they depend on composition and kind of oxide or sulfide alone,
so forces and stresses stay as they are. With the Materials Project's elements as zero, formation energies of 60
crystals at the DFT geometry lie 0.012 eV/atom from their labels on average, against 0.019 with CHGNet (both learned
these crystals).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pymatgen.core import Composition, Structure
from pymatgen.entries.compatibility import CompatibilityError, MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry

WEIGHTS = "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
SHA256 = "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"
INSTALL = "install it with `pip install 'latentore[verify]'`"


def verified_sevennet_weights() -> Path:
    """Raises ValueError where sevenn is not installed or its weights are not those this project was measured with: the
    checkpoint is unpickled by sevenn's own loader, so its bytes are checked first."""
    found = importlib.util.find_spec("sevenn")
    if found is None or found.origin is None:
        raise ValueError(f"calculator sevennet needs the package sevenn; {INSTALL}")
    return _verified(Path(found.origin).parent / WEIGHTS)


@cache
def _verified(weights: Path) -> Path:
    if not weights.is_file() or hashlib.sha256(weights.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{weights} is not the SevenNet-0 checkpoint of 11 July 2024; reinstall sevenn==0.13.0")
    return weights


def load_sevennet(device: str) -> Calculator:
    """A calculator on the corrected scale. Raises ValueError as `verified_sevennet_weights` does."""
    weights = verified_sevennet_weights()
    with contextlib.redirect_stdout(io.StringIO()), sevennet_warnings_handled():
        from sevenn.calculator import SevenNetCalculator

        return CorrectedCalculator(SevenNetCalculator(str(weights), device=device))


@contextlib.contextmanager
def sevennet_warnings_handled() -> Any:
    """torch and e3nn announce their own futures while sevenn is imported and asked; its values are not touched."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category, module=r"(torch|e3nn|sevenn|torch_geometric)(\..*)?$")
        yield


class CorrectedCalculator(Calculator):
    """Another calculator's energies in eV with the MP2020 correction added; its forces and stresses."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012, as ASE declares it

    def __init__(self, uncorrected: Calculator) -> None:
        super().__init__()
        self.uncorrected = uncorrected

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] | None = None,
    ) -> None:
        """Raises ValueError where the scheme has no correction for the composition."""
        super().calculate(atoms, properties, system_changes or all_changes)
        assert self.atoms is not None
        with sevennet_warnings_handled():
            self.uncorrected.calculate(self.atoms, properties or ["energy"], all_changes)
        found = self.uncorrected.results
        energy = float(found["energy"]) + mp2020_correction(self.atoms)
        self.results = {"energy": energy, "free_energy": energy, "forces": found["forces"], "stress": found["stress"]}


def mp2020_correction(atoms: Atoms) -> float:
    """The correction of a whole cell in eV, with the run type that the Materials Project's input sets would choose."""
    crystal = Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
    formula = crystal.composition.reduced_formula
    symbols = {element.symbol for element in crystal.composition.elements}
    oxide = _oxide_type(crystal) if "O" in symbols and len(symbols) > 1 else None
    # "other" where sulfur is no anion, as in a sulfate: where nothing is said the scheme takes it for a sulfide
    sulfide = (_sulfide_type(crystal) or "other") if "S" in symbols and len(symbols) > 1 else None
    return _per_atom(formula, oxide, sulfide) * len(crystal)


def _oxide_type(crystal: Structure) -> str:
    from pymatgen.core.structure_analyzer import oxide_type

    return str(oxide_type(crystal, 1.05))


def _sulfide_type(crystal: Structure) -> str | None:
    from pymatgen.core.structure_analyzer import sulfide_type

    return sulfide_type(crystal)


@lru_cache(maxsize=4096)
def _per_atom(formula: str, oxide: str | None, sulfide: str | None) -> float:
    composition, scheme = Composition(formula), _scheme()
    electronegative = max(composition.elements, key=lambda element: element.X).symbol
    settings = scheme.u_settings.get(electronegative, {})
    hubbards = {e.symbol: float(settings[e.symbol]) for e in composition.elements if float(settings.get(e.symbol, 0))}
    parameters = {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards, "software": "a learned potential"}
    data = {name: value for name, value in (("oxide_type", oxide), ("sulfide_type", sulfide)) if value}
    entry = ComputedEntry(composition, 0.0, parameters=parameters, data=data)
    with warnings.catch_warnings():
        # without oxidation states the most electronegative element counts as the anion: as MP does
        warnings.filterwarnings("ignore", message="Failed to guess oxidation states")
        try:
            adjustments = scheme.get_adjustments(entry)
        except CompatibilityError as error:
            raise ValueError(f"no MP2020 correction for {formula}: {error}") from error
    return float(sum(adjustment.value for adjustment in adjustments)) / composition.num_atoms


@cache
def _scheme() -> MaterialsProject2020Compatibility:
    return MaterialsProject2020Compatibility(check_potcar=False)
