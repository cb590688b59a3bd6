"""Formulas of known materials beyond the reference table, to warn of a "new" crystal that may be an old one.

The reference table holds structures of 17,284 crystals; many a common compound is not among them. matminer ships the
formulas of 47,737 Materials Project entries (Ricci et al., Sci. Data 4, 170085, 2017; CC BY 4.0), the list of stable
phases (`optimizer.stable_phases`) more. They have no structures, so a known formula is a flag and not a verdict:
the crystal may be a new polymorph.

    python -m optimizer.known_formulas     rebuilds the bundled list from the installed matminer
"""

from __future__ import annotations

import gzip
import io
import tarfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from optimizer.stable_phases import stable_phases

FILE = "data/known_formulas.txt.gz"


@cache
def known_formulas() -> frozenset[str]:
    """Reduced formulas, as pymatgen writes them."""
    own = gzip.decompress(files("optimizer").joinpath(FILE).read_bytes()).decode().split()
    return frozenset(own) | frozenset(stable_phases().formulas)


def main() -> None:
    """Write the list, sorted, the same bytes each time."""
    import matminer.utils
    import pandas as pd
    from pymatgen.core import Composition

    archive = Path(matminer.utils.__file__).parent / "data_files/mp_transport/transport_database.tar.xz"
    with tarfile.open(archive, mode="r:xz") as tar:
        member = tar.extractfile("transport_database.csv")
        assert member is not None
        # keep_default_na: the formula NaN is sodium nitride
        table = pd.read_csv(io.BytesIO(member.read()), usecols=["pretty_formula"], keep_default_na=False)
    formulas = sorted({Composition(formula).reduced_formula for formula in table["pretty_formula"]})
    with gzip.GzipFile(str(files("optimizer").joinpath(FILE)), "wb", mtime=0) as file:
        file.write("\n".join(formulas).encode())


if __name__ == "__main__":
    main()
