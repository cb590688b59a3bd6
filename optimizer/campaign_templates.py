"""New campaign files from templates: `optimize init`.

A template is a campaign that can be run as it is, so a bundled example may be one. What a person names (campaign,
elements, table, property) replaces lines of it; comments stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from campaigns.elements import ELEMENT_GROUPS, expand_elements
from campaigns.errors import SpecError, UnknownChoiceError, UserError
from campaigns.records import PROPERTY_NAME

EXAMPLES = {"stiff": "quickstart", "formation": "oxides", "multi": "multi"}
"""Templates that are bundled examples."""
EXAMPLE_TABLE, EXAMPLE_PROPERTY = "example_band_gaps.csv", "band_gap_ev"
FROM_TABLE, WITH_PROPERTY = ("your-data",), ("your-data", "ask-tell")
SCHEMA = "campaign.schema.json"
SCHEMA_TITLE = "CampaignSpec"
FEW_ELEMENTS = 12
"""Of so many the missing phases are soon made: seconds for a pair, minutes in all, and kept."""
QUICK_HULL = """\
  # distance from the convex hull of known phases; leave competing_phases out, and those that are missing are made
  - {kind: energy_above_hull, competing_phases: 0}
"""
FULL_HULL = """\
  # distance from the convex hull of known phases; those that are missing are made: seconds for a pair of elements, once
  - energy_above_hull
"""
ENDINGS = """
ev_atom:eV/atom mev_atom:meV/atom ev_ang:eV/Ang ev:eV mev:meV kj_mol:kJ/mol gpa:GPa mpa:MPa pa:Pa j_m2:J/m^2
g_cm3:g/cm^3 kg_m3:kg/m^3 ang:Ang nm:nm ang3:Ang^3 ang3_atom:Ang^3/atom k:K per_k:1/K w_mk:W/m/K w_m_k:W/m/K
uv_k:uV/K s_cm:S/cm ms_cm:mS/cm s_m:S/m cm2_vs:cm^2/V/s pc_n:pC/N mu_b:mu_B mah_g:mAh/g v:V percent:%
"""
UNITS = dict(pair.split(":") for pair in ENDINGS.split())
"""What the end of a property's name stands for; the longest counts."""
UNKNOWN_UNIT = "?"


@dataclass(frozen=True)
class Wishes:
    """What a campaign file shall differ in from its template; None leaves the template's."""

    name: str | None = None
    elements: tuple[str, ...] | None = None
    data: Path | None = None
    property: str | None = None


@dataclass(frozen=True)
class Written:
    """The files that `init_campaign` wrote; `table` only where the template's example table was asked for."""

    campaign: Path
    schema: Path
    table: Path | None


def template_names() -> list[str]:
    """All templates, by name."""
    own = [item.name.removesuffix(".yaml") for item in _folder().iterdir() if item.name.endswith(".yaml")]
    return sorted([*EXAMPLES, *own])


def init_campaign(template: str, file: Path | None, wishes: Wishes) -> Written:
    """Write a campaign file that `optimize check` accepts, the schema that editors complete it from, and its table.

    Raises UserError where a file is there already, and SpecError for a wish that makes no campaign.
    """
    if template not in template_names():
        raise UnknownChoiceError("--template", template, template_names())
    _check_wishes(template, wishes)
    name = wishes.name or (template if file is None else re.sub(r"[^\w.-]", "_", file.stem, flags=re.ASCII))
    campaign = Path(f"{name}.yaml") if file is None else file
    example = template in FROM_TABLE and wishes.data is None
    table = campaign.parent / EXAMPLE_TABLE if example else None
    _refuse_overwriting(campaign)
    text = filled(template, campaign, name, wishes)
    _check_text(text)
    schema = _schema_place(campaign.parent)
    try:
        campaign.parent.mkdir(parents=True, exist_ok=True)
        schema.write_bytes(_bundled_schema())
        if table is not None and not table.exists():
            table.write_bytes(_folder().joinpath(EXAMPLE_TABLE).read_bytes())
        with campaign.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise UserError(f"{campaign}: cannot be written ({error.strerror}).", "Choose another folder.") from None
    return Written(campaign, schema, table)


def filled(template: str, campaign: Path, name: str, wishes: Wishes) -> str:
    """The template's text with every wish in its place, and the line by which editors find the schema."""
    example = EXAMPLES.get(template, template)
    place = files("campaigns") / "examples" if template in EXAMPLES else _folder()
    text = place.joinpath(f"{example}.yaml").read_text("utf-8")
    text = re.sub(rf"(?m)^(#     optimize \w+) {example}\b", lambda found: f"{found[1]} {campaign}", text)
    text = text.replace(f"runs/{example}", f"runs/{name}")
    text = re.sub(r"(?m)^name: \S+", lambda _: f"name: {name}", text, count=1)
    if wishes.elements is not None:
        text = _with_elements(text, wishes.elements)
    if wishes.data is not None:
        text = text.replace(EXAMPLE_TABLE, _quoted(_from(campaign, wishes.data)))
    if wishes.property is not None:
        text = _with_property(text, wishes.property)
    return f"# yaml-language-server: $schema={SCHEMA}\n{text}"


def _from(campaign: Path, data: Path) -> str:
    """A source as it is, a file as seen from the campaign's folder."""
    return os.path.relpath(data, campaign.parent) if data.exists() else str(data)


def _with_elements(text: str, elements: Sequence[str]) -> str:
    """Only these elements and groups. What the template requires stays; of what it excludes, what is named does not."""
    from campaigns.yaml_files import parse_yaml

    own, chosen = parse_yaml(text)["space"]["elements"], expand_elements(elements)
    for each in own.get("require", ()):
        if each not in chosen:
            raise SpecError("--elements", f"the template has {each} in every crystal.", f"Add {each}.")
    required = ", ".join(own.get("require", ()))
    block = (
        "  elements:\n"
        f"    include: [{', '.join(elements)}] # only these, symbols or groups like transition_metal\n"
        f"    exclude: [{', '.join(_still_excluded(own['exclude'], elements))}] # wins over include\n"
        f"    {f'require: [{required}]' if required else '# require: [O]    '} # all of these in every crystal\n"
    )
    count = len(chosen)
    if count <= FEW_ELEMENTS:
        text = text.replace(QUICK_HULL, FULL_HULL)
    text = re.sub(r"^  elements:\n(?:    .*\n)+", lambda _: block, text, count=1, flags=re.MULTILINE)
    return re.sub(
        r"^  n_elements: \[(\d+), (\d+)\]",
        lambda found: f"  n_elements: [{min(int(found[1]), count)}, {min(int(found[2]), count)}]",
        text,
        count=1,
        flags=re.MULTILINE,
    )


def _still_excluded(excluded: Sequence[str], elements: Sequence[str]) -> list[str]:
    """Without what is named: a group that holds a named element gives way to those of its others that may be chosen."""
    named, chosen, found = set(elements), expand_elements(elements), []
    for each in excluded:
        members = set(ELEMENT_GROUPS.get(each, (each,)))
        if each in named:
            continue
        found += sorted((members - named) & set(chosen)) if members & named else [each]
    return list(dict.fromkeys(found))


def _with_property(text: str, name: str) -> str:
    endings = [ending for ending in UNITS if name.endswith(f"_{ending}")]
    unit = UNITS[max(endings, key=len)] if endings else UNKNOWN_UNIT
    if name != EXAMPLE_PROPERTY:
        goal = re.escape(f"{EXAMPLE_PROPERTY}: {{target: 1.4}}") + r".*"
        text = re.sub(goal, f"{EXAMPLE_PROPERTY}: maximize # or minimize, or {{target: NUMBER}}", text)
    text = text.replace(f"{{{EXAMPLE_PROPERTY}: eV}}", f"{{{name}: {_quoted(unit)}}}")
    text = re.sub(r"^    unit: eV$", f"    unit: {_quoted(unit)}", text, flags=re.MULTILINE)
    if unit == UNKNOWN_UNIT:
        text = re.sub(r'(?m)^(.*(?:: "\?"\}|unit: "\?"))(?: #.*)?$', r"\1 # write the unit in place of ?", text)
    return text.replace(EXAMPLE_PROPERTY, name)


def _quoted(value: str) -> str:
    """A YAML scalar."""
    return value if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _check_wishes(template: str, wishes: Wishes) -> None:
    if wishes.data is not None and template not in FROM_TABLE:
        raise UserError("--data is for the template your-data.", "Add `--template your-data`.")
    if wishes.data is not None and not wishes.data.exists() and not _is_source(wishes.data):
        raise UserError(f"--data: {wishes.data} does not exist.", "Give a table of crystals.")
    if wishes.property is not None:
        _check_property(template, wishes.property, wishes.data)
    try:
        expand_elements(wishes.elements or ())
    except ValueError as error:
        raise SpecError("--elements", f"{error}.") from None


def _is_source(data: Path) -> bool:
    from generative.remote_sources import is_remote  # takes pymatgen with it

    return is_remote(data)


def _check_property(template: str, name: str, data: Path | None) -> None:
    if template not in WITH_PROPERTY:
        measured = " and ".join(WITH_PROPERTY)
        raise UserError(f"--property is for the templates {measured}; {template} measures what it names.")
    if not PROPERTY_NAME.match(name):
        raise UserError(
            f"--property: {name!r} is no property name.", f"Write it like {EXAMPLE_PROPERTY}, its unit last."
        )
    if template in FROM_TABLE and data is None and name != EXAMPLE_PROPERTY:
        raise UserError(f"--property: the example table has no {name}.", "Name your own table with --data.")


def _check_text(text: str) -> None:
    from campaigns.spec import parse_spec
    from campaigns.yaml_files import parse_yaml

    parse_spec(parse_yaml(text))


def _refuse_overwriting(campaign: Path) -> None:
    if campaign.is_dir():
        raise UserError(f"{campaign}: is a folder.", f"Give a file, like {campaign / 'campaign.yaml'}.")
    if campaign.exists():
        raise UserError(f"{campaign}: is there already.", "Give another file name; nothing is overwritten.")


def _schema_place(folder: Path) -> Path:
    """Where the schema goes: an older one of ours is replaced. Raises UserError where another file is in the way."""
    place = folder / SCHEMA
    if place.exists() and f'"title": "{SCHEMA_TITLE}"' not in place.read_text("utf-8", errors="replace"):
        raise UserError(f"{place}: is no schema of a campaign file.", "Move it, or write the campaign elsewhere.")
    return place


def _bundled_schema() -> bytes:
    return _folder().joinpath(SCHEMA).read_bytes()


def _folder() -> Traversable:
    return files("campaigns") / "templates"
