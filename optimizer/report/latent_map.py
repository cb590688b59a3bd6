"""The latent space on paper: candidates by principal components and by t-SNE, and the way the search took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from optimizer.report.snapshot import Evaluated, Snapshot, blocks, thinned

if TYPE_CHECKING:
    from optimizer.references import Novelty

MOST_POINTS = 400
MOST_STOPS = 10
FEWEST_POINTS = 6  # below it t-SNE has nothing to arrange
PERPLEXITY = 30.0


@dataclass(frozen=True)
class MapPoint:
    """A candidate on a map; `new` is False for a known material, `rank` its place in the list."""

    x: float
    y: float
    formula: str
    round: int
    values: Mapping[str, float]
    new: bool
    rank: int | None
    lacking: str  # why a value is not there, in words


@dataclass(frozen=True)
class LatentMap:
    """`path` are the mean places of the rounds (first, last, x, y), many rounds in blocks; `axes` name the axes."""

    method: str
    points: tuple[MapPoint, ...]
    path: tuple[tuple[int, int, float, float], ...]
    axes: tuple[str, str]


@dataclass(frozen=True)
class LatentMaps:
    """Both maps of the same candidates; `without` evaluated ones have no latent under the generator now in use, and
    `left_out` had to give way for lack of room."""

    maps: tuple[LatentMap, ...]
    without: int
    left_out: int


def latent_maps(snapshot: Snapshot, novelty: Callable[[Structure], Novelty], ranks: Mapping[str, int]) -> LatentMaps:
    """PCA and t-SNE of evaluated candidates, at most MOST_POINTS, the ranked ones among them."""
    placed = [each for each in snapshot.evaluated if each.candidate.id in snapshot.latents]
    keep = [index for index, each in enumerate(placed) if each.candidate.id in ranks]
    shown = [placed[index] for index in thinned(len(placed), MOST_POINTS, keep)]
    without = len(snapshot.evaluated) - len(placed)
    if len(shown) < FEWEST_POINTS:
        return LatentMaps((), without, 0)
    z = np.array([snapshot.latents[each.candidate.id] for each in shown], dtype=np.float64)
    new = [novelty(each.crystal).new for each in shown]
    components, shares = principal_components(z)
    titles = tuple(f"component {k} ({share:.0%} of the variance)" for k, share in enumerate(shares, start=1))
    both = (
        _map("PCA", components, shown, new, ranks, (titles[0], titles[1])),
        _map("t-SNE", t_sne(z), shown, new, ranks, ("t-SNE 1", "t-SNE 2")),
    )
    return LatentMaps(both, without, len(placed) - len(shown))


def principal_components(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Places `[n, 2]` of latents `[n, d]` along the two directions of largest variance, and their shares of it."""
    centred = z - z.mean(axis=0)
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(z), 2))
    kept = min(2, axes.shape[0])
    places[:, :kept] = centred @ axes[:kept].T
    explained = np.zeros(2)
    explained[:kept] = deviations[:kept] ** 2 / max(float((deviations**2).sum()), 1e-12)
    return places, (float(explained[0]), float(explained[1]))


def t_sne(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places `[n, 2]` of latents `[n, d]`, neighbours kept together (van der Maaten & Hinton, 2008); the same latents
    give the same places."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.ptp(z, axis=0).any():
        return np.zeros((len(z), 2))
    perplexity = min(PERPLEXITY, (len(z) - 1) / 3)
    fitted = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0, n_jobs=1)
    with threadpool_limits(1):  # its threads wait for one another, a minute long where others keep the cores busy
        return np.asarray(fitted.fit_transform(z), dtype=np.float64)


def _map(
    method: str,
    places: NDArray[np.float64],
    shown: Sequence[Evaluated],
    new: Sequence[bool],
    ranks: Mapping[str, int],
    axes: tuple[str, str],
) -> LatentMap:
    points = tuple(
        MapPoint(
            x=float(x),
            y=float(y),
            formula=each.formula,
            round=each.candidate.round,
            values=each.measured,
            new=is_new,
            rank=ranks.get(each.candidate.id),
            lacking=each.lacking,
        )
        for (x, y), each, is_new in zip(places, shown, new, strict=True)
    )
    path = []
    for first, last in blocks([point.round for point in points], MOST_STOPS):
        members = [point for point in points if first <= point.round <= last]
        if members:
            mean = [sum(getattr(point, axis) for point in members) / len(members) for axis in ("x", "y")]
            path.append((first, last, mean[0], mean[1]))
    return LatentMap(method, points, tuple(path), axes)
