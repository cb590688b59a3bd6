"""What may go to the oracles, and why the rest may not."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.admission import admit
from optimizer.references import ReferenceTable

FCC = Lattice([[0.0, 3.3, 3.3], [3.3, 0.0, 3.3], [3.3, 3.3, 0.0]])
KNOWN = Structure(FCC, ["La", "Bi"], [[0, 0, 0], [0.5, 0.5, 0.5]])  # mp-22926
NEW = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SQUEEZED = NEW.copy().scale_lattice(1.0)
RADIOACTIVE = Structure(FCC, ["U", "Bi"], [[0, 0, 0], [0.5, 0.5, 0.5]])
NO_CRYSTAL = DecodeFailure(FailureCode.DECODE_DEAD_END, "")


def test_each_refusal_is_counted_by_its_code():
    decoded = [KNOWN, NO_CRYSTAL, NEW, NEW, SQUEEZED, RADIOACTIVE]
    seen: set[str] = set()
    admitted, failures = admit(decoded, SearchSpace(), ReferenceTable.load(), seen)
    assert [(each.index, each.crystal) for each in admitted] == [(2, NEW)]
    assert seen == {fingerprint(NEW)}
    assert failures == {
        FailureCode.KNOWN: 1,
        FailureCode.DECODE_DEAD_END: 1,
        FailureCode.DUPLICATE: 1,
        FailureCode.TOO_CLOSE: 1,
        FailureCode.OUTSIDE_SPACE: 1,
    }


def test_known_materials_pass_where_they_are_wanted_but_only_once():
    admitted, failures = admit([KNOWN, KNOWN], SearchSpace(), ReferenceTable.load(), set(), allow_known=True)
    assert len(admitted) == 1
    assert failures == {FailureCode.DUPLICATE: 1}
