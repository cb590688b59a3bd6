"""Elements and the groups a campaign file may name."""

from __future__ import annotations

import pytest

from campaigns.elements import ELEMENT_GROUPS, SYMBOLS, expand_elements


def test_symbols_stand_at_their_atomic_number():
    assert len(SYMBOLS) == 103
    assert [SYMBOLS[z - 1] for z in (1, 8, 26, 57, 79, 92, 103)] == ["H", "O", "Fe", "La", "Au", "U", "Lr"]


def test_groups_hold_the_elements_of_their_name():
    assert [ELEMENT_GROUPS["lanthanide"][i] for i in (0, -1)] == ["La", "Lu"]
    assert [ELEMENT_GROUPS["actinide"][i] for i in (0, -1)] == ["Ac", "Lr"]
    assert {"Tc", "Pm", "Po", "U"} <= set(ELEMENT_GROUPS["radioactive"])
    assert "Bi" not in ELEMENT_GROUPS["radioactive"]
    metals = ELEMENT_GROUPS["transition_metal"]
    assert (len(metals), metals[0], metals[-1]) == (29, "Sc", "Hg")


def test_groups_and_symbols_mix_without_repeats():
    assert expand_elements(["halogen", "F", "O"]) == ("F", "Cl", "Br", "I", "At", "O")


def test_an_unknown_name_gets_the_choices():
    with pytest.raises(ValueError, match=r"'Xx' is no element or group.*radioactive"):
        expand_elements(["Xx"])
