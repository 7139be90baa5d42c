"""What one process cannot read, none of them plays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ranks.launching import launch

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_two_processes_leave_out_the_same_questions_and_stop_together(tmp_path: Path) -> None:
    launch("bad_images.py", tmp_path, 2)
    told = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1]
    left_out, stopped = told[0]
    assert left_out == [1, 4]
    assert stopped.startswith("2 of 6 cannot be used of the questions")
    assert len((tmp_path / "bad_data.jsonl").read_text().splitlines()) == 2  # written by one
