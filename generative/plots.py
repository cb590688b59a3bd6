"""One page of plots beside the figures of an evaluation: a single HTML file that opens without a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition

from generative.evaluation import Comparison
from generative.evaluation_run import Evaluation, Subject
from generative.sample_quality import counted_elements
from generative.training_run import REFUSED_ROWS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

OURS, DATA = "#0072B2", "#E69F00"  # blue and orange of Okabe & Ito, told apart by every kind of colour vision
LAST_GROUP = {  # largest space-group number of each crystal system
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 14px }
td, th { padding: 3px 12px 3px 0; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ddd } td.number { text-align: right; font-variant-numeric: tabular-nums }
"""


def page(evaluation: Evaluation) -> str:
    """The figures as a table and the plots, with plotly.js inside."""
    from plotly.io import to_html

    document, subject = evaluation.document, evaluation.subject
    plots = [
        by_atoms(evaluation.comparisons, subject),
        by_system(evaluation.comparisons, subject),
        space_groups(evaluation),
        elements(evaluation),
        latent_map(subject),
    ]
    parts = [
        to_html(plot, full_html=False, include_plotlyjs=i == 0, include_mathjax=False, config={"displaylogo": False})
        for i, plot in enumerate(plots)
    ]
    title = f"{document['generator']} on {document['data']['name']}"
    rows = "".join(_row(name, figure) for name, figure in document["figures"].items())
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>Judged on {escape(document['judged_on'])}. Samples are decodes of N(0, I), none left out.</p>"
        f"<table><tr><th>figure</th><th>value</th><th>unit</th><th>n</th><th>rule</th></tr>{rows}</table>"
        f"{''.join(parts)}</body></html>\n"
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """`evaluation.json`, `evaluation.html` and `refused_rows.csv` into a folder that exists."""
    text = json.dumps(evaluation.document, indent=1, ensure_ascii=False)
    (folder / "evaluation.json").write_text(text + "\n", "utf-8")
    evaluation.subject.refused.to_csv(folder / REFUSED_ROWS, index=False)
    (folder / "evaluation.html").write_text(page(evaluation), "utf-8")


def _row(name: str, figure: dict[str, Any]) -> str:
    value = "none" if figure["value"] is None else f"{figure['value']:.4g}"
    cells = [escape(str(figure[key])) for key in ("unit", "n", "rule")]
    return f"<tr><td>{escape(name)}</td><td class='number'>{value}</td><td>" + "</td><td>".join(cells) + "</td></tr>"


def by_atoms(comparisons: Sequence[Comparison], subject: Subject) -> Figure:
    """Match by the number of atoms in the crystal's cell."""
    sizes = [len(x) for x in subject.crystals]
    return _match_bars({str(n): _of(comparisons, sizes, n) for n in sorted(set(sizes))}, "atoms in the cell")


def by_system(comparisons: Sequence[Comparison], subject: Subject) -> Figure:
    """Match by crystal system; crystals without a code have none."""
    codes = subject.encoded.codes
    numbers = dict(zip(codes.row.tolist(), codes.space_group.tolist(), strict=True))
    systems = [crystal_system(numbers[row]) if row in numbers else "not encoded" for row in subject.rows]
    order = [name for name in (*LAST_GROUP, "not encoded") if name in systems]
    return _match_bars({name: _of(comparisons, systems, name) for name in order}, "crystal system")


def crystal_system(number: int) -> str:
    """The crystal system of a space group, 1 to 230."""
    return next(name for name, last in LAST_GROUP.items() if number <= last)


def _of(comparisons: Sequence[Comparison], keys: Sequence[object], key: object) -> list[bool]:
    return [each.matched for each, own in zip(comparisons, keys, strict=True) if own == key]


def _match_bars(groups: dict[str, list[bool]], title: str) -> Figure:
    from plotly.graph_objects import Bar

    shares = [float(np.mean(found)) for found in groups.values()]
    counts = [f"n = {len(found)}" for found in groups.values()]
    bars = Bar(x=list(groups), y=shares, text=counts, marker_color=OURS, hovertemplate="%{x}: %{y:.1%}, %{text}")
    figure = _figure([bars], f"Reconstruction by {title}", title, "share that match")
    figure.update_xaxes(type="category")
    figure.update_yaxes(range=[0, 1.05])
    return figure


def space_groups(evaluation: Evaluation) -> Figure:
    """How often each space group occurs among samples and in the data."""
    codes = evaluation.subject.encoded.codes
    data = Counter(codes.space_group[evaluation.subject.usable].tolist())
    samples = Counter(int(mark.partition(":")[0]) for mark in evaluation.samples.fingerprints if mark is not None)
    return _two(data, samples, list(range(1, 231)), "Space groups", "space-group number")


def elements(evaluation: Evaluation) -> Figure:
    """How many of the samples and of the data hold each element."""
    data = counted_elements([Composition(formula) for formula in evaluation.subject.data_formulas])
    samples = counted_elements([x.composition for x in evaluation.samples.crystals if x is not None])
    held = [symbol for symbol in data if data[symbol] or samples[symbol]]
    n_data, n_samples = len(evaluation.subject.data_formulas), len(evaluation.samples.formulas)
    return _two(data, samples, held, "Elements", "element, by atomic number", n_data, n_samples)


def _two(
    data: dict[Any, int], samples: dict[Any, int], keys: list[Any], title: str, axis: str, n: int = 0, m: int = 0
) -> Figure:
    from plotly.graph_objects import Bar

    both = []
    for name, counts, colour, total in (("data", data, DATA, n), ("samples", samples, OURS, m)):
        whole = total or sum(counts.values()) or 1
        heights = [counts.get(key, 0) / whole for key in keys]
        both.append(Bar(name=f"{name} ({whole})", x=keys, y=heights, marker_color=colour))
    return _figure(both, f"{title}: samples against the data", axis, "share of crystals")


def latent_map(subject: Subject) -> Figure:
    """The two principal components of the latents judged on, coloured by a label, or by the number of atoms."""
    from plotly.graph_objects import Scattergl

    encoded = np.isin(subject.encoded.codes.row, subject.rows)
    codes = subject.encoded.codes.take(encoded)
    z = subject.generator.latents(codes).numpy() if len(codes) else np.zeros((0, 2))
    centred = z - z.mean(axis=0) if len(z) else z
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ axes[:2].T if min(centred.shape) >= 2 else np.zeros((len(z), 2))
    explained = deviations[:2] ** 2 / max(float((deviations**2).sum()), 1e-12)
    if subject.labels.names:
        name, colours = subject.labels.names[0], subject.labels.values[codes.row, 0]
    else:
        name, colours = "atoms in the primitive cell", codes.n_atoms().astype(float)
    formulas = [str(subject.encoded.formulas[row]) for row in codes.row]
    known = np.isfinite(colours)
    spread = np.percentile(colours[known], [2, 98]).tolist() if known.any() else [0.0, 1.0]
    marker = {
        "color": [float(c) if k else None for c, k in zip(colours, known, strict=True)],
        "colorscale": "Cividis",
        "cmin": spread[0],
        "cmax": spread[1],
        "size": 6,
        "colorbar": {"title": {"text": name}},
    }
    points = Scattergl(
        x=places[:, 0].tolist(), y=places[:, 1].tolist(), mode="markers", marker=marker, text=formulas, name=""
    )
    shares = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate([*explained, 0.0, 0.0][:2])]
    return _figure([points], f"Latent map, coloured by {name}", shares[0], shares[1])


def _figure(traces: list[Any], title: str, x: str, y: str) -> Figure:
    from plotly.graph_objects import Figure

    layout = {
        "title": {"text": title},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "template": "plotly_white",
        "height": 420,
    }
    return Figure(data=traces, layout=layout)
