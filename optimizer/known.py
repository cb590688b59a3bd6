"""What a campaign holds against its crystals: the bundled table and its own tables of known ones."""

from __future__ import annotations

import json

from campaigns.store import CampaignStore
from optimizer.build import OWN_REFERENCES
from optimizer.references import ReferenceTable


def known_to(store: CampaignStore) -> ReferenceTable:
    """Raises UserError where one of the campaign's own tables is gone."""
    return ReferenceTable.load(own=json.loads(store.provenance.get(OWN_REFERENCES, "[]")))
