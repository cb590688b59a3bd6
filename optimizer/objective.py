"""What a campaign wants: objectives and constraints, on plain values and on posterior samples.

The loop, `status` and `export` rank measured values with it; the acquisition applies the same rules to
tensors. Importing this module loads no torch. Values are mappings from property name to number, or None for a
candidate that failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import TYPE_CHECKING

from campaigns.errors import SpecError
from campaigns.goals import Constraint, Objective
from campaigns.spec import CampaignSpec
from optimizer.pareto import Point, dominates, hypervolume, nondominated_layers, reference_point

if TYPE_CHECKING:
    from torch import Tensor

SUCCESS = "success"
Values = Mapping[str, float] | None


@dataclass(frozen=True)
class CampaignObjective:
    """One or two goals under bounds. Everything is turned into maximisation; names are sorted, so order in
    the file is free.
    """

    goals: tuple[tuple[str, Objective], ...]
    bounds: tuple[tuple[str, Constraint], ...] = ()

    @classmethod
    def from_spec(cls, spec: CampaignSpec) -> CampaignObjective:
        """Raises SpecError where a property takes the name kept for the feasibility outcome."""
        for section, names in (("objectives", spec.objectives), ("constraints", spec.constraints)):
            if SUCCESS in names:
                raise SpecError(f"{section}.{SUCCESS}", "this name is taken.", "Rename the property.")
        return cls(tuple(sorted(spec.objectives.items())), tuple(sorted(spec.constraints.items())))

    @property
    def properties(self) -> tuple[str, ...]:
        """Every property an objective or a constraint reads, sorted."""
        return tuple(sorted({name for name, _ in (*self.goals, *self.bounds)}))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Columns of the surrogate: the properties, then "success" (1 fully evaluated, 0 failed)."""
        return (*self.properties, SUCCESS)

    def multiplied(self, factors: Mapping[str, float]) -> CampaignObjective:
        """The same wishes of values that are multiplied by these, property -> factor; 1 where there is none."""

        def times(name: str, wish: Objective | Constraint) -> dict[str, float]:
            factor = factors.get(name, 1.0)
            return {key: value * factor for key, value in wish if isinstance(value, float)}

        return CampaignObjective(
            tuple((name, goal.model_copy(update=times(name, goal))) for name, goal in self.goals),
            tuple((name, bound.model_copy(update=times(name, bound))) for name, bound in self.bounds),
        )

    # On plain values

    def complete(self, values: Values) -> bool:
        """Every property is there; False for None."""
        return values is not None and all(name in values for name in self.properties)

    def violation(self, values: Values) -> float:
        """Sum over constraints of the overshoot relative to the bound (absolute where the bound is 0); inf if
        incomplete.
        """
        if values is None or not self.complete(values):
            return math.inf
        total = 0.0
        for name, bound in self.bounds:
            for limit, sign in ((bound.min, -1.0), (bound.max, 1.0)):
                if limit is not None:
                    total += max(0.0, sign * (values[name] - limit)) / (abs(limit) or 1.0)
        return total

    def feasible(self, values: Values) -> bool:
        """Fully evaluated and inside every bound (bounds included)."""
        return self.violation(values) == 0.0

    def score(self, values: Mapping[str, float]) -> Point:
        """One number per goal, higher is better: y, -y, or -|y - target|. Raises KeyError for a missing
        property.
        """
        return tuple(_utility(goal, values[name]) for name, goal in self.goals)

    def better(self, left: Values, right: Values) -> bool:
        """`left` beats `right`: feasible before infeasible before failed, then score (Pareto dominance) or
        violation.
        """
        over, under = self.violation(left), self.violation(right)
        if over > 0 or under > 0:
            return over < under
        mine, yours = self.score(left or {}), self.score(right or {})  # a violation of 0 needs values
        return dominates(mine, yours)

    def ranking(self, values: Sequence[Values]) -> tuple[int, ...]:
        """Indices of the complete entries, best first; ties keep their order.

        Feasible first: by score, or with two goals by non-dominated layer and, inside a layer, by the
        hypervolume that is lost without the entry. Then the infeasible by violation. Failed entries are left
        out.
        """
        feasible = [i for i, entry in enumerate(values) if self.feasible(entry)]
        scores = [self.score(values[i] or {}) for i in feasible]
        layers = nondominated_layers(scores)
        order = [feasible[i] for layer in layers for i in _by_contribution(layer, scores)]
        rest = [i for i, entry in enumerate(values) if self.complete(entry) and not self.feasible(entry)]
        return (*order, *sorted(rest, key=lambda i: self.violation(values[i])))

    def best(self, values: Sequence[Values]) -> int | None:
        """Index of the best feasible entry (with two goals the first of `ranking`), or None where none is
        feasible.
        """
        order = self.ranking(values)
        return order[0] if order and self.feasible(values[order[0]]) else None

    def front(self, values: Sequence[Values]) -> tuple[int, ...]:
        """Indices of the feasible entries that no other dominates, ascending; with one goal the best and its
        equals.
        """
        feasible = [i for i, entry in enumerate(values) if self.feasible(entry)]
        layers = nondominated_layers([self.score(values[i] or {}) for i in feasible])
        return tuple(sorted(feasible[i] for i in layers[0])) if layers else ()

    def progress(self, values: Sequence[Values], reference: Point | None = None) -> float | None:
        """How far the campaign has come, higher is better: best score, or the hypervolume above `reference`.

        With two goals `reference` defaults to the rule of `reference_point` over the feasible entries given;
        to compare stages of one campaign pass the reference of its last stage. None where nothing is
        feasible.
        """
        scores = [self.score(values[i] or {}) for i in self.front(values)]
        if not scores:
            return None
        if len(self.goals) == 1:
            return scores[0][0]
        return hypervolume(scores, reference or reference_point(scores))

    def reference(self, values: Sequence[Values]) -> Point | None:
        """Reference point of the feasible entries' Pareto front; independent of their order. None where none
        is feasible.
        """
        scores = [self.score(values[i] or {}) for i in self.front(values)]
        return reference_point(scores) if scores else None

    # On tensors

    def table(self, values: Sequence[Values]) -> tuple[Tensor, Tensor]:
        """Training data of the surrogate: y float64 `[n, m]` and observed bool `[n, m]`, columns as in
        `outcomes`.

        A failed or incomplete candidate has success 0; the properties it does have are still observed.
        Far outliers on the forbidden side of a bound are drawn in where the property is no goal: a few
        crystals 3 eV/atom above the hull would otherwise set the scale on which 0.1 eV/atom is judged.
        """
        import torch

        names = self.properties
        limits = {name: self._outlier_limits(name, values) for name in names}
        rows = [
            [min(max(float((entry or {}).get(n, 0.0)), limits[n][0]), limits[n][1]) for n in names] for entry in values
        ]
        seen = [[name in (entry or {}) for name in names] for entry in values]
        y = torch.tensor(
            [[*row, float(self.complete(entry))] for row, entry in zip(rows, values, strict=True)],
            dtype=torch.float64,
        )
        observed = torch.tensor([[*row, True] for row in seen], dtype=torch.bool)
        shape = (len(values), len(names) + 1)
        return y.reshape(shape), observed.reshape(shape)

    def _outlier_limits(self, name: str, values: Sequence[Values]) -> tuple[float, float]:
        """Three interquartile ranges beyond the bound or the outer quartile, whichever is further.

        Nothing feasible is touched and nothing infeasible becomes feasible. Infinite for a goal, for a side
        without bound, and where fewer than 4 values or no spread are there to tell.
        """
        bound = dict(self.bounds).get(name)
        known = [entry[name] for entry in values if entry is not None and name in entry]
        if bound is None or name in dict(self.goals) or len(known) < 4:
            return -math.inf, math.inf
        low, _, high = quantiles(known, method="inclusive")
        reach = 3 * (high - low)
        return (
            min(bound.min, low) - reach if bound.min is not None and reach > 0 else -math.inf,
            max(bound.max, high) + reach if bound.max is not None and reach > 0 else math.inf,
        )

    def utility(self, samples: Tensor) -> Tensor:
        """Outcome samples `[..., m]` -> scores `[..., k]`, higher is better."""
        import torch

        names = self.properties
        columns = [_utility(goal, samples[..., names.index(name)]) for name, goal in self.goals]
        return torch.stack(columns, dim=-1)

    def constraint_callables(self, seen: Tensor | None = None) -> list[Callable[[Tensor], Tensor]]:
        """Functions from outcome samples `[..., m]` to `[...]`, at most 0 where feasible, in BoTorch's
        convention.

        Each is the overshoot relative to its bound, as in `violation`; the last asks success to be at least
        one half. Where all outcomes `seen [k, m]` lie within a twentieth of the bound, it is relative to twenty
        times the furthest of them: who smooths the step by a thousandth would else take all for the bound itself.
        """
        names = self.properties
        found: list[Callable[[Tensor], Tensor]] = []
        for name, bound in self.bounds:
            column = names.index(name)
            for limit, sign in ((bound.min, -1.0), (bound.max, 1.0)):
                if limit is not None:
                    width = abs(limit) or 1.0
                    if seen is not None and len(seen):
                        furthest = float((seen[:, column] - limit).abs().max())
                        width = min(width, 20 * furthest or width)
                    found.append(partial(_overshoot, column=column, limit=limit, sign=sign, width=width))
        return [*found, partial(_overshoot, column=len(names), limit=0.5, sign=-1.0, width=0.5)]


def _overshoot(samples: Tensor, *, column: int, limit: float, sign: float, width: float) -> Tensor:
    return sign * (samples[..., column] - limit) / width


def _utility(goal: Objective, value):  # float -> float, Tensor -> Tensor
    if goal.target is not None:
        return -abs(value - goal.target)
    return value if goal.goal == "maximize" else -value


def _by_contribution(layer: Sequence[int], scores: Sequence[Point]) -> list[int]:
    """The layer's members by the hypervolume lost without each, largest first."""
    points = [scores[i] for i in layer]
    if len(points) < 2 or len(points[0]) == 1:
        return list(layer)
    reference = reference_point(points)
    total = hypervolume(points, reference)
    lost = {i: total - hypervolume([scores[j] for j in layer if j != i], reference) for i in layer}
    return sorted(layer, key=lambda i: -lost[i])
