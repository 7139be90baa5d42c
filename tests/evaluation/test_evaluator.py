"""Questions -> episodes on disk: each once, in order, whoever plays them and whatever interrupts that."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.playing.episode_log import EpisodeLog
from medvista.evaluation.playing.evaluator import play_questions
from medvista.evaluation.playing.shard import Shard
from medvista.parsing import format_action
from medvista.policies import SamplingParams, ScriptedPolicy
from medvista.rollout import RolloutCollector
from medvista.types import FinalAnswer, Trajectory, VQASample


@pytest.fixture
def play(questions: Sequence[VQASample], make_env: Callable[..., object], tmp_path: Path) -> Callable[..., list[str]]:
    """Plays with a script that answers with its seed; returns the ids it was asked, in order."""

    def run(samples: Sequence[VQASample] = questions, fails_at: int | None = None) -> list[str]:
        asked: list[str] = []

        def script(trajectory: Trajectory) -> str:
            if fails_at is not None and len(asked) >= fails_at:
                raise KeyboardInterrupt
            asked.append(trajectory.sample.id)
            return format_action(FinalAnswer(text=f"answer {trajectory.seed}"))

        make_collector = partial(RolloutCollector, make_env, ScriptedPolicy(script), None)  # type: ignore[arg-type]
        log = EpisodeLog(tmp_path / "test.jsonl")
        play_questions(samples, log, make_collector, SamplingParams(), batch_size=3)
        return asked

    return run


def answers(folder: Path) -> list[tuple[str, str | None]]:
    return [(t.sample.id, t.answer) for t in read_trajectories(folder / "test.jsonl")]


def whole(questions: Sequence[VQASample]) -> list[tuple[str, str]]:
    return [(sample.id, f"answer {index}") for index, sample in enumerate(questions)]


def test_every_question_is_played_once_in_order_with_its_index_as_seed(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    assert play() == [sample.id for sample in questions]
    assert answers(tmp_path) == whole(questions)
    assert play() == [], "what is finished is not played again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "test.jsonl"]


def test_two_questions_with_one_id_are_refused_before_any_is_played(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"2 questions of {questions[0].benchmark} have the id '{questions[1].id}'"):
        play([*questions, questions[1]])
    assert not (tmp_path / "test.jsonl").exists()


def test_after_an_interruption_only_what_was_not_finished_is_played(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        play(fails_at=7)  # in the third batch of three: two batches are finished
    assert not (tmp_path / "test.jsonl").exists()
    assert play() == [sample.id for sample in questions[6:]]
    assert answers(tmp_path) == whole(questions)


def test_a_torn_line_counts_as_never_written(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        play(fails_at=7)
    part = tmp_path / "test.jsonl.rank0"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:5]) + lines[5][: len(lines[5]) // 2])
    assert play() == [sample.id for sample in questions[5:]]
    assert answers(tmp_path) == whole(questions)


def test_ranks_share_the_questions_and_another_number_of_them_takes_over(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    ids = [sample.id for sample in questions]
    second = Shard(rank=1, world_size=3)
    assert list(second.own(len(ids))) == list(range(1, len(ids), 3))
    log = EpisodeLog(tmp_path / "test.jsonl", second)
    with pytest.raises(KeyboardInterrupt):
        play(fails_at=4)  # one process finishes the first three
    with log.writer() as writer:
        for trajectory in read_trajectories(tmp_path / "test.jsonl.rank0", ids=ids[1:2]):
            writer.write(trajectory)  # as a second process that had the same question by mistake would
    assert play() == ids[3:]
    assert answers(tmp_path) == whole(questions)


def test_more_questions_are_added_to_those_that_are_finished(
    play: Callable[..., list[str]], questions: Sequence[VQASample], tmp_path: Path
) -> None:
    assert len(play(questions[:4])) == 4
    assert play() == [sample.id for sample in questions[4:]]
    assert answers(tmp_path) == whole(questions)
    assert play(questions[:2]) == []
    assert len(answers(tmp_path)) == len(questions), "what is not asked now is kept"


def test_a_question_that_nobody_played_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="lacks 1 of 1"):
        EpisodeLog(tmp_path / "test.jsonl").merge(["unheard of"])


def test_without_a_process_group_there_is_one_process_that_leads() -> None:
    assert Shard.current() == Shard(rank=0, world_size=1)
    assert Shard.current().leads


def test_lines_hold_the_tokens_that_were_sampled(play: Callable[..., list[str]], tmp_path: Path) -> None:
    play()
    line = json.loads((tmp_path / "test.jsonl").read_text().splitlines()[0])
    assert "stream" in line
