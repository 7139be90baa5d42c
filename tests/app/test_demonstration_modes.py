"""Modes of demonstrations, in set shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from medvista.app.training.demonstration_modes import mix, mode_of
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.types import Trajectory


@pytest.fixture
def some(demonstrations: list[Trajectory]) -> list[Trajectory]:
    """Six looks, three direct answers and a reflection."""
    looks = [one for one in demonstrations if one.tool_turns]
    direct = [one for one in demonstrations if not one.tool_turns]
    first, *rest = looks[6].turns
    reflection = replace(looks[6], turns=(replace(first, learned=False), *rest))
    return [*looks[:6], *direct[:3], reflection]


def test_shares_hold_and_every_demonstration_is_there(some: list[Trajectory]) -> None:
    mixed = mix(some, {"look": 2, "direct": 1, "reflection": 1})
    assert Counter(map(mode_of, mixed)) == {"look": 6, "direct": 3, "reflection": 3}
    assert {id(one) for one in mixed} == {id(one) for one in some}


def test_a_rare_mode_is_repeated_evenly(some: list[Trajectory]) -> None:
    mixed = mix(some, {"look": 0.25, "direct": 0.75, "reflection": 0})
    assert Counter(map(mode_of, mixed)) == {"look": 6, "direct": 18}
    repeated = Counter(id(one) for one in mixed if mode_of(one) == "direct")
    assert set(repeated.values()) == {6}


def test_what_has_no_share_is_left_out_and_said(some: list[Trajectory]) -> None:
    NOTICES.clear()
    assert len(mix(some, {"look": 1.0})) == 6
    assert sum(notice.count for notice in NOTICES.collected()) == 4


def test_no_shares_change_nothing(some: list[Trajectory]) -> None:
    assert mix(some, {}) == some


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({"looks": 1.0}, "sft.mix has no mode 'looks': use look, direct, reflection"),
        ({"look": 0.0}, "a share of 0"),
        ({"look": -1.0}, "must be at least 0"),
        ({"reflection": 0.5}, "mode 'reflection', and there is none"),
    ],
)
def test_shares_that_cannot_be_had_are_refused(shares: dict[str, float], sentence: str, some: list[Trajectory]) -> None:
    with pytest.raises(UserError, match=sentence):
        mix(some[:-1], shares)
