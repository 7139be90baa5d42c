"""The measurement of the viewer: that it runs, says what it says it says, and that the page is smooth."""

from __future__ import annotations

import json

import pytest

from benchmarks.chromium import find_chromium
from benchmarks.viewer import main, write_run
from medvista.data.trajectories import read_trajectories


def test_the_episodes_are_those_of_a_run_half_of_them_wrong_and_no_id_twice(tmp_path):
    write_run(tmp_path, 10)
    folder = tmp_path / "trajectories" / "test"
    expert, guesser = (list(read_trajectories(folder / f"phantom-{arm}-greedy.jsonl")) for arm in ("expert", "guesser"))
    assert [episode.sample.id for episode in expert] == [episode.sample.id for episode in guesser]
    assert len({episode.sample.id for episode in expert}) == 5
    assert all(episode.reward.terms["accuracy"] == 1 for episode in expert)
    assert any(episode.reward.terms["accuracy"] == 0 for episode in guesser)


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="no chromium or google-chrome is on the path")
def test_five_thousand_episodes_stay_smooth(capsys):
    assert main([]) == 0
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert measured["episodes"] == 5000
    assert measured["rows_in_page"] < 40
    # Far above what is measured on an idle machine (docs/viewer.md), far below what a list of 5,000 elements takes.
    assert measured["first_list_ms"] < 3000
    assert measured["filter_ms"] < 500
    assert measured["open_ms"] < 1000
    assert measured["frame_ms"] < 150
