"""A representation that keeps every number of the cell. Keeps what the suite asks for."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from pymatgen.core import Element, Structure

from campaigns.records import FailureCode
from campaigns.spec import Strict
from generative.protocols import EncodeFailure


class Params(Strict):
    """How large a cell may be."""

    max_atoms: int = Field(1000, ge=1, description="Largest cell that is encoded.")


class Cells:
    def __init__(self, params):
        self.params = params

    def featurize(self, xs):
        return [self._encode(x) for x in xs]

    def reconstruct(self, codes):
        return [Structure(lattice, species, coords) for lattice, species, coords in codes]

    def _encode(self, x):
        if not 0 < len(x) <= self.params.max_atoms or not x.is_ordered:
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "empty, too large or disordered")
        if not np.isfinite(x.frac_coords).all() or not np.isfinite(x.lattice.matrix).all():
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "a coordinate is no number")
        if not all(Element.is_valid_symbol(site.specie.symbol) for site in x):
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "dummy species")
        return x.lattice.matrix.tolist(), [site.specie.symbol for site in x], x.frac_coords.tolist()


def build(params, context=None):
    return Cells(params)
