"""The benchmark beside TRL: both sides do the same work, and the ratios are of what they took."""

from __future__ import annotations

import json

import pytest

from benchmarks.peer_trl import Compared, Size, main
from benchmarks.peer_work import ForcedCalls, Update, make_work


def update(**changed: float) -> Update:
    same = {"seconds": 2.0, "rollout_s": 1.0, "turns": 6, "trained_tokens": 1000, "fed_tokens": 800}
    rest = {"distinct_tokens": 800, "encoded": 4, "encoded_in_training": 8, "images": 4, "rss_mb": 700.0}
    return Update(**{**same, **rest, **changed})  # type: ignore[arg-type]


def test_sizes_are_read_as_they_are_written() -> None:
    assert Size.parse("8x4:2") == Size(8, 4, 2)
    assert str(Size.parse("2x4:ragged")) == "2x4, ragged"


def test_ratios_are_of_medians_and_image_passes_those_of_the_worst_pass() -> None:
    ours = [update(), update(seconds=3.0), update(seconds=4.0, encoded_in_training=16)]
    trl = [update(seconds=9.0, rollout_s=4.0, encoded=12)] * 3
    figures = Compared(ours, trl).figures()
    assert figures == {
        "turns": 6,
        "rollouts_ratio": 4.0,
        "step_ratio": 3.0,
        "image_passes_per_image": 2.0,
        "prefill_ratio": 1.0,
    }


@pytest.mark.parametrize("changed", [{"turns": 5}, {"trained_tokens": 900}])
def test_sides_that_did_other_work_are_not_compared(changed: dict[str, float]) -> None:
    with pytest.raises(RuntimeError, match="the sides"):
        Compared([update()], [update(**changed)]).check()


def test_calls_are_forced_episode_by_episode_then_for_those_that_go_on_and_again_in_the_next_update() -> None:
    calls = ForcedCalls([0, 2, 1])
    looked = [["tool_calls" in calls() for _ in range(round_)] for round_ in (3, 2, 1, 3)]
    assert looked == [[False, True, True], [True, False], [False], [False, True, True]]
    assert calls.turns == 9


def test_no_turn_can_end_early_and_weights_are_the_same_each_time() -> None:
    one, other = (make_work(1, 2, None, tokens=4, view_size=64, vocabulary=2048) for _ in range(2))
    assert one.looks_of_episodes == [0, 1]
    assert not one.policy.allowed_ids[list(one.policy.turn_ends.ids)].any()
    assert len(one.policy.allowed_ids) == 2048
    for name, weights in one.policy.state_dict().items():
        assert weights.equal(other.policy.state_dict()[name]), name


@pytest.mark.slow
def test_the_last_line_is_json_with_the_promised_figures(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trl")
    main(["--only", "2x2:1", "--tokens", "4", "--repeats", "1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["turns"] == 8
    assert figures["image_passes_per_image"] == figures["prefill_ratio"] == 1
    assert figures["rollouts_ratio"] > 0
