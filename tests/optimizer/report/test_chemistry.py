"""The periodic table of a campaign."""

from __future__ import annotations

from report_ledgers import salt

from optimizer.report.chemistry import periodic_table
from optimizer.report.snapshot import take_snapshot


def test_elements_stand_where_they_belong_with_their_counts(make_ledger):
    store = make_ledger(space={"elements": {"exclude": ["Cl"]}})
    found = {each.symbol: each for each in periodic_table(take_snapshot(store), [salt("Na", "O", 5)])}
    assert len(found) == 103
    places = [(each.column, each.row) for each in found.values()]
    assert len(set(places)) == 103
    assert (found["He"].column, found["He"].row) == (17, 0)
    assert (found["Fe"].column, found["Fe"].row) == (7, 3)
    assert (found["La"].column, found["Lu"].column) == (2, 16)
    assert found["La"].row > 7
    assert (found["O"].tried, found["O"].won) == (12, 1)
    assert (found["Na"].tried, found["K"].won, found["Cl"].tried) == (1, 0, 0)
    assert not found["Cl"].allowed
    assert found["Na"].allowed
