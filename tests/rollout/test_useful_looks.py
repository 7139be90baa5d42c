"""A look was useful if the answer is wrong once its result is blanked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from medvista.envs import MedicalVQAEnv
from medvista.parsing import format_action
from medvista.policies import SamplingParams, ScriptedPolicy
from medvista.rollout import Fork, ForkedEngine, RolloutCollector, needs_a_look
from medvista.tools import BlankedCall, Toolbox
from medvista.types import FinalAnswer, ToolCall, Trajectory, VQASample

PARAMS = SamplingParams()
LOOK = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [0, 0, 400, 400]}))


def is_blank(trajectory: Trajectory, turn: int) -> bool:
    observation = trajectory.turns[turn].observation
    return observation is not None and all(np.ptp(image.pixels) == 0 for image in observation.images)


def reading(turn: int | None) -> Callable[[Trajectory], str]:
    """Looks twice, then answers right unless the look of that turn showed nothing."""

    def script(trajectory: Trajectory) -> str:
        if len(trajectory.turns) < 2:
            return LOOK
        wrong = turn is not None and is_blank(trajectory, turn)
        return format_action(FinalAnswer(text="wrong" if wrong else trajectory.sample.answers[0]))

    return script


@pytest.mark.parametrize(("turn", "useful", "forks"), [(None, False, 2), (0, True, 1), (1, True, 2)])
def test_an_episode_needs_the_look_that_its_answer_is_read_from(
    turn: int | None, useful: bool, forks: int, make_env: Callable[..., MedicalVQAEnv], questions: list[VQASample]
) -> None:
    engine, played = ScriptedPolicy(reading(turn)), []

    def make(forked: Sequence[Fork], number: int) -> RolloutCollector:
        played.extend(forked)
        which = {fork.episode.seed: fork.results_before for fork in forked}
        toolbox = BlankedCall(Toolbox.from_names(["zoom"]), which)
        return RolloutCollector(lambda: make_env(toolbox=toolbox), ForkedEngine(forked, number, engine), None)

    # Without a renderer there are no tokens, as of a teacher behind an endpoint.
    collector = RolloutCollector(make_env, engine, None)
    episodes = collector.collect(questions[:2], PARAMS, seeds=[1, 2])
    assert needs_a_look(episodes, make, PARAMS) == [useful, useful]
    assert len(played) == 2 * forks  # with the first call that mattered an episode is done with


def test_episodes_of_one_seed_cannot_be_told_apart(
    make_env: Callable[..., MedicalVQAEnv], questions: list[VQASample]
) -> None:
    episodes = RolloutCollector(make_env, ScriptedPolicy(reading(0)), None).collect(questions[:2], PARAMS, seeds=[1, 1])
    with pytest.raises(ValueError, match="different seeds"):
        needs_a_look(episodes, lambda forks, number: pytest.fail("nothing is played"), PARAMS)
