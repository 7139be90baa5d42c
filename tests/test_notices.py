"""What was altered is counted by place and said once by kind."""

from __future__ import annotations

import logging

import pytest

from medvista.notices import Notices

WHITE, LEFT_OUT = "transparent pictures were shown on white", "slices of another size were left out"


def test_a_place_counts_once_and_examples_keep_their_order() -> None:
    notices = Notices()
    for where in ("b.png", "a.png", "b.png", "c.png", "d.png"):
        notices.add(WHITE, where)
    notices.add(LEFT_OUT, "series/1.dcm")
    white, left_out = notices.collected()
    assert (white.count, white.examples) == (4, ("b.png", "a.png", "c.png"))
    assert white.line() == f"{WHITE}: 4 (b.png, a.png, c.png, ...)"
    assert left_out.line() == f"{LEFT_OUT}: 1 (series/1.dcm)"


def test_each_kind_is_said_the_first_time_only(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    with caplog.at_level(logging.WARNING):
        for where in ("a.png", "b.png"):
            notices.add(WHITE, where)
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [f"a.png: {WHITE}"]
    notices.clear()
    assert not notices.collected()
