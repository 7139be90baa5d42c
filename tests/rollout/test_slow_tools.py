"""A slow tool holds up its own episode and no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from medvista.envs import MedicalVQAEnv
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, GenerationRequest, SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.tools import Tool, Toolbox
from medvista.types import FinalAnswer, ToolCall, ToolResult, Trajectory, VQASample

PATIENCE_S = 0.02
FOR_EVER_S = 30.0  # what a broken collector would wait before the test fails


class Recorder(ScriptedPolicy):
    """An engine that remembers which episodes it was asked for together."""

    def __init__(self, script: Callable[[Trajectory], str], tokenizer: object = None) -> None:
        super().__init__(script, tokenizer=tokenizer)
        self.batches: list[list[int]] = []

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        self.batches.append([request.episode for request in requests])
        super().submit(requests, params)


def two_calls_and_an_answer(trajectory: Trajectory) -> str:
    turn = len(trajectory.turns)
    if turn == 2:
        return format_action(FinalAnswer(text="solid"))
    return format_action(ToolCall(name="look", arguments={"who": trajectory.seed, "turn": turn}))


def collector(engine: ScriptedPolicy, questions: list[VQASample], look: Callable[..., ToolResult]) -> RolloutCollector:
    env = partial(MedicalVQAEnv, questions, Toolbox([Tool(look, name="look")]), view_size=32, max_turns=3)
    return RolloutCollector(env, engine, None, workers=8, patience_s=PATIENCE_S)


def test_the_others_go_on_to_their_next_tools_while_one_is_slow(questions: list[VQASample]) -> None:
    others_looked_twice = threading.Barrier(4)

    def look(images: object, who: int, turn: int) -> ToolResult:
        """Episode 0 takes as long as the three others need for two calls each."""
        if (who == 0 and turn == 0) or (who > 0 and turn == 1):
            others_looked_twice.wait(FOR_EVER_S)
        return ToolResult(text=f"{who} looked")

    engine = Recorder(two_calls_and_an_answer)
    played = collector(engine, questions, look).collect(questions[:4], SamplingParams(), seeds=range(4))
    assert [trajectory.answer for trajectory in played] == ["solid"] * 4
    assert all(turn.result is not None and turn.result.ok for t in played for turn in t.tool_turns)
    assert engine.batches[0] == [0, 1, 2, 3]
    assert 0 not in engine.batches[1]


def test_an_episode_is_handed_out_while_another_ones_tool_still_runs(questions: list[VQASample]) -> None:
    first_is_out = threading.Event()

    def look(images: object, who: int, turn: int) -> ToolResult:
        """Episode 1 waits until episode 0 has been seen by whoever plays."""
        if who == 1:
            assert first_is_out.wait(FOR_EVER_S)
        return ToolResult(text="seen")

    playing = collector(Recorder(two_calls_and_an_answer), questions, look).play(
        questions[:2], SamplingParams(), seeds=range(2)
    )
    index, trajectory = next(playing)
    assert (index, trajectory.answer) == (0, "solid")
    first_is_out.set()
    assert [index for index, _ in playing] == [1]


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_quick_tools_leave_batches_and_streams_as_they_are_in_line(
    nano: VLMPolicy, questions: list[VQASample], make_env: Callable[..., MedicalVQAEnv], workers: int | None
) -> None:
    zoom = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [100, 100, 600, 600]}))
    played = {}
    for threads in (0, workers):
        engine = Recorder(
            lambda t: zoom if len(t.turns) < 2 else format_action(FinalAnswer(text="solid")), nano.tokenizer
        )
        patient = RolloutCollector(make_env, engine, ChatRenderer(nano), workers=threads, patience_s=FOR_EVER_S)
        episodes = patient.collect(questions[:5], SamplingParams(), seeds=range(5))
        assert engine.batches == [[0, 1, 2, 3, 4]] * 3
        played[threads] = [episode.stream.token_ids for episode in episodes]
    assert played[0] == played[workers]


def test_what_a_step_raises_reaches_the_caller_and_ends_the_rollout(questions: list[VQASample]) -> None:
    class Broken(MedicalVQAEnv):
        def step(self, action: str) -> object:  # type: ignore[override]
            raise RuntimeError("out of paper")

    broken = RolloutCollector(partial(Broken, questions), Recorder(two_calls_and_an_answer), None, workers=2)
    with pytest.raises(RuntimeError, match="out of paper"):
        broken.collect(questions[:3], SamplingParams(), seeds=range(3))
