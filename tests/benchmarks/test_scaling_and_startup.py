"""The benchmarks of processes side by side and of the start measure what they say."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from typing import Any

import pytest

from benchmarks import scaling, startup


class Slow:
    """A worker whose rollout takes a while."""

    def submit(self, *_: Any) -> Future[int]:
        done: Future[int] = Future()
        time.sleep(0.05)
        done.set_result(8)
        return done


def test_episodes_of_all_processes_count_by_the_clock() -> None:
    assert 0 < scaling.episodes_per_second([Slow(), Slow()], 1, 1) < 16 / 0.1  # type: ignore[list-item]


def test_a_command_is_timed_until_it_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "RUN", ("sh", "-c", "sleep 0.2; echo begins; sleep 60"))
    seconds, _ = startup.until_first_line()
    assert 0.2 <= seconds < 30


def test_a_command_that_says_nothing_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "RUN", ("true",))
    with pytest.raises(RuntimeError, match="without a line"):
        startup.until_first_line("experiment=smoke")


@pytest.mark.slow
def test_the_last_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--repeats", "1", "--prompts", "1", "--tokens", "2"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["efficiency_2"] > 0
    startup.main(["--repeats", "1"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]).keys() == {"help_s", "list_s", "first_line_s"}
