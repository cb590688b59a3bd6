"""Units in which a surrogate is fitted and a batch chosen: powers of ten of the properties' own.

What lies below has thresholds without units: gpytorch lets no variance of a posterior fall below 1e-10, and jitter on a
covariance ends at 1e-3. So a property whose values differ by 1e-6, like a thermal expansion per kelvin, or by 1e9, like
a modulus in pascal, is multiplied by a power of ten here; whatever is written or shown is in its own unit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optimizer.objective import CampaignObjective

ORDINARY = (1e-2, 1e4)
"""Standard deviations that are no trouble in the property's own unit."""


@dataclass(frozen=True)
class WorkingUnits:
    """What values are multiplied by, property -> factor; 1 where there is none."""

    factors: Mapping[str, float]

    @classmethod
    def of(cls, y: Tensor, observed: Tensor, names: Sequence[str], *, leave: Collection[str] = ()) -> WorkingUnits:
        """Such that each of the outcomes `names` differs by 1 to 10 where it differs by little or much, but those to
        `leave`. y `[n, m]`, observed bool `[n, m]`."""
        found = {}
        for column, name in enumerate(names):
            known = y[observed[:, column], column]
            spread = float(known.std(correction=0)) if len(known) else 0.0
            if name not in leave and spread > 0 and not ORDINARY[0] <= spread <= ORDINARY[1]:
                found[name] = 10.0 ** -math.floor(math.log10(spread))
        return cls(found)

    def objective(self, objective: CampaignObjective) -> CampaignObjective:
        """The same wishes of such values."""
        return objective.multiplied(self.factors)

    def of_outcomes(self, names: Sequence[str]) -> Tensor:
        """The factor of each outcome, `[m]`."""
        return torch.tensor([self.factors.get(name, 1.0) for name in names], dtype=torch.float64)

    def report(self, outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Entries of a fit with the noise in the outcome's own unit."""
        return {
            name: {**entry, "noise_sd": entry["noise_sd"] / self.factors[name]}
            if name in self.factors and entry.get("noise_sd") is not None
            else entry
            for name, entry in outcomes.items()
        }
