"""Crystals of a user's own that a campaign may propose, as its file names them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from campaigns.validation import Strict

START = 16  # crystals drawn where nothing but a list is proposed


class CandidateList(Strict):
    """Crystals of your own to choose among."""

    path: str = Field(
        min_length=1, description="File or folder, relative to the campaign file; or like matminer:NAME or mp:Li-Fe-O."
    )
    only: bool = Field(False, description="Propose nothing else; the start is drawn from it, too, unless it is given.")


def written_out(campaign: Any) -> Any:
    """A campaign before it is read: a path alone becomes a list, and one that is all there is gives the start."""
    if not isinstance(campaign, dict) or not isinstance(listed := campaign.get("candidates"), str | dict):
        return campaign
    if isinstance(listed, str):
        return {**campaign, "candidates": {"path": listed}}
    if listed.get("only") is True and "path" in listed and "start" not in campaign:
        return {**campaign, "start": [{"kind": "crystals", "path": listed["path"], "n": START}]}
    return campaign
