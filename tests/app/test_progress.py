"""The plan before a run, and what shows how far it is: one bar in a terminal, few plain lines in a log."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig
from medvista.app.plan import plan_in_words, training_plan
from medvista.app.progress import Progress, Work

PLAN = (
    Work(name="sft", units=10, unit="step", seconds=20.0),
    Work(name="sft_rl", units=40, unit="update", seconds=60.0),
    Work(name="test", units=100, unit="question", seconds=20.0),
)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def work(progress: Progress, clock: Clock, plan: tuple[Work, ...] = PLAN, pace: float = 2.0) -> None:
    """Works the plan off, at so many seconds for each of the reference's."""
    for stage in plan:
        with progress.stage(stage.name, stage.units, stage.unit) as shown:
            for done in range(1, stage.units + 1):
                clock.now += pace * (stage.seconds or 1.0) / stage.units
                shown.reach(done, "loss 0.5")
    progress.close()


def config(*overrides: str) -> ExperimentConfig:
    return compose(ExperimentConfig, overrides)


def test_a_log_has_a_line_at_both_ends_of_a_stage_and_one_every_half_minute() -> None:
    clock, stream = Clock(), io.StringIO()
    work(Progress(PLAN, stream=stream, clock=clock), clock)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/3] sft: begins, 10 steps"
    assert lines[1].startswith("[1/3] sft: step 8 of 10, about ")
    assert "[2/3] sft_rl: done in 2 min" in lines
    # 200 s of work: a line every 30 s at most, and two for each of three stages
    assert len(lines) <= 200 / 30 + 6
    assert "\r" not in stream.getvalue()


def test_an_hour_of_fast_steps_stays_a_short_log() -> None:
    clock, stream = Clock(), io.StringIO()
    plan = (Work(name="sft", units=30_000, unit="step", seconds=3600.0),)
    work(Progress(plan, stream=stream, clock=clock), clock, plan, pace=1.0)
    assert len(stream.getvalue().splitlines()) <= 3600 / 30 + 2


def test_a_terminal_gets_one_bar_for_the_whole_run() -> None:
    clock, stream = Clock(), Terminal()
    work(Progress(PLAN, stream=stream, clock=clock), clock)
    pictures = stream.getvalue()
    assert "\n" not in pictures.replace("\r\n", "")
    halfway = next(picture for picture in pictures.split("\r") if "[2/3] sft_rl, update 20 of 40" in picture)
    assert halfway.strip().startswith("50% |"), "20 + 30 of 100 s of the reference"
    assert "loss 0.5" in pictures


def test_time_left_follows_the_pace_of_this_machine() -> None:
    clock = Clock()
    progress = Progress(PLAN, stream=io.StringIO(), clock=clock)
    assert progress.seconds_left() is None, "nothing is known before anything is done"
    with progress.stage("sft", 10, "step") as shown:
        clock.now += 20.0
        shown.reach(5)
        # 10 of 100 s of the reference took 20 s here, so the other 90 take 180.
        assert progress.seconds_left() == pytest.approx(180.0)


def test_what_an_earlier_run_did_says_nothing_about_the_pace() -> None:
    clock = Clock()
    progress = Progress(PLAN, stream=io.StringIO(), clock=clock)
    with progress.stage("sft", 10, "step") as shown:
        shown.resumed_at(8)
        clock.now += 4.0
        shown.reach(9)
        assert progress.seconds_left() == pytest.approx(2 * (2 + 60 + 20))


def test_without_a_reference_stages_of_one_unit_are_weighed_by_it_and_others_not_at_all() -> None:
    clock = Clock()
    questions = tuple(Work(name=name, units=50, unit="question") for name in ("test", "replays"))
    progress = Progress(questions, stream=io.StringIO(), clock=clock)
    with progress.stage("test", 50, "question") as shown:
        clock.now += 10.0
        shown.reach(25)
        assert progress.seconds_left() == pytest.approx(30.0)
    mixed = Progress([replace(stage, seconds=None) for stage in PLAN], stream=io.StringIO(), clock=clock)
    with mixed.stage("sft", 10, "step") as shown:
        clock.now += 10.0
        shown.reach(5)
        assert mixed.seconds_left() is None, "an update is not a question: no time is made up"


def test_a_part_of_a_stage_moves_nothing_but_is_named() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress([Work(name="sft_rejection", units=4, unit="round")], stream=stream, clock=clock)
    with progress.stage("sft_rejection", 4, "round") as shown:
        shown.reach(1)
        with progress.stage("round-1", 300, "step") as part:
            clock.now += 40.0
            part.reach(150, "loss 0.1")
        assert shown.done == 1
    assert "sft_rejection: round 1 of 4, about 2 min left, round-1, loss 0.1" in stream.getvalue()


def test_what_is_left_out_counts_as_done() -> None:
    clock = Clock()
    progress = Progress([Work(name="replays", units=300, unit="question")], stream=io.StringIO(), clock=clock)
    with progress.stage("replays", 300, "question") as shown:
        shown.skip(100)
        shown.reach(200)
        assert shown.share == 1.0


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_of_several_processes_only_the_first_prints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    for stream in (io.StringIO(), Terminal()):
        clock = Clock()
        work(Progress(PLAN, stream=stream, clock=clock), clock)
        assert stream.getvalue() == ""


def test_warnings_are_printed_above_the_bar() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(PLAN, stream=stream, clock=clock)
    with progress.stage("sft", 10, "step"):
        logging.getLogger("medvista.data").warning("one row was left out")
    progress.close()
    assert "one row was left out\n" in stream.getvalue()
    assert logging.getLogger("medvista").handlers == []


def test_a_failing_stage_is_not_called_done() -> None:
    stream = io.StringIO()
    progress = Progress(PLAN, stream=stream)
    with pytest.raises(ValueError, match="broken"), progress.stage("sft", 10, "step"):
        raise ValueError("broken")
    assert "done" not in stream.getvalue()


# ------------------------------------------------------------------------------------------------------------ the plan


def test_the_plan_names_the_stages_behind_the_arms_each_once() -> None:
    plan = training_plan(
        config("arms=[sft_rl,sft,majority,tools_untrained]"), base_trained_here=False, test_questions=9
    )
    assert [stage.name for stage in plan] == ["sft", "sft_rl", "direct", "test", "replays"]
    first = training_plan(config("arms=[direct]"), base_trained_here=True, test_questions=9)
    assert [stage.name for stage in first] == ["vision pre-stage", "captions pre-stage", "direct", "test"]


def test_a_time_is_told_only_where_it_was_measured() -> None:
    main = training_plan(config(), base_trained_here=False, test_questions=1024)
    assert "about" in plan_in_words(main, "shipped")
    for other in ("policy.path=some/model", "data.benchmark=slake", "policy.nano.layers=12", "trainer.devices=2"):
        plan = training_plan(config(other), base_trained_here=False, test_questions=1024)
        assert "about" not in plan_in_words(plan, "some/model"), other
    short = training_plan(
        config("experiment=smoke", "arms=[direct,sft_rl]"), base_trained_here=False, test_questions=16
    )
    assert "about" not in plan_in_words(short, "shipped"), "loading takes longer than training, and was not measured"
    short = training_plan(
        config("experiment=smoke", "arms=[direct,sft_rl]"), base_trained_here=False, test_questions=16
    )
    assert "about" not in plan_in_words(short, "shipped"), "loading takes longer than training, and was not measured"
    unmeasured = training_plan(config("arms=[sft_rejection]"), base_trained_here=False, test_questions=1024)
    assert "about" not in plan_in_words(unmeasured, "shipped")


def test_the_estimate_is_the_recorded_time_for_the_recorded_run() -> None:
    # docs/results.md: 29 s and 93 s SFT, 53 s RL, as much again for more SFT, 50 s test of eight arms
    recorded = config()
    plan = training_plan(recorded, base_trained_here=False, test_questions=512)
    assert sum(stage.seconds or 0 for stage in plan) == pytest.approx(29 + 93 + 53 + 53 + 50, rel=0.03)


def test_stages_that_a_resumed_run_has_are_not_planned_again(tmp_path: Path) -> None:
    done = tmp_path / "checkpoints" / "sft" / "done.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    wanted = ["arms=[sft,sft_rl]", f"output_dir={tmp_path}"]
    again = training_plan(config(*wanted), base_trained_here=False, test_questions=9)
    assert [stage.name for stage in again] == ["sft", "sft_rl", "test", "replays"]
    resumed = training_plan(config(*wanted, "resume=true"), base_trained_here=False, test_questions=9)
    assert [stage.name for stage in resumed] == ["sft_rl", "test", "replays"]
