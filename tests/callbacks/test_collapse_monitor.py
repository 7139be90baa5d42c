"""The monitor beside training: a reward that pays for calls is named as spam, one that charges for them as collapse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
from torch.utils.data import DataLoader

from medvista.callbacks import CollapseMonitor
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.parsing import format_action
from medvista.policies import SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rewards import RewardFunction
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import FinalAnswer, ToolCall, Trajectory, TrajectoryGroup, VQASample

MakeTrainer = Callable[..., lightning.Trainer]
Batch = Callable[[int], ExperienceBatch]
LOOK = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [0, 0, 500, 500]}))


@pytest.fixture
def played(schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]) -> Batch:
    """Two siblings that call a tool so many times before they answer, the first rightly."""

    def make(calls: int) -> ExperienceBatch:
        def script(trajectory: Trajectory) -> str:
            if len(trajectory.turns) < calls:
                return LOOK
            right = trajectory.seed % 2 == 0
            return format_action(FinalAnswer(text=trajectory.sample.answers[0] if right else "wrong"))

        reward = RewardFunction({"accuracy": 1.0, "tool_cost": 0.1})
        engine = ScriptedPolicy(script, tokenizer=schooled.tokenizer)
        collector = make_collector(schooled, engine, reward_fn=reward)
        episodes = collector.collect([questions[0]] * 2, SamplingParams(), seeds=[0, 1])
        return ExperienceBatch.from_groups([TrajectoryGroup(trajectories=episodes)])

    return make


def watch(policy: VLMPolicy, batches: list[ExperienceBatch], monitor: CollapseMonitor, make: MakeTrainer) -> None:
    optimiser = OptimiserConfig(learning_rate=1e-9)
    module = GRPOModule(copy.deepcopy(policy), GRPOConfig(), optimiser, total_steps=len(batches))
    trainer = make(max_steps=len(batches), callbacks=[monitor])
    trainer.fit(module, train_dataloaders=DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


def test_spam_is_named_once_with_the_episodes_that_show_it(
    schooled: VLMPolicy, played: Batch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    monitor = CollapseMonitor(tmp_path, {"accuracy": 1.0, "tool_cost": 0.1}, window=1)
    spam = [played(0), played(2), played(2)]
    watch(schooled, spam, monitor, make_trainer)
    (sentence, *_) = [told for told in monitor.sentences if told.startswith("tool spam")]
    assert sentence.startswith("tool spam at step 2: calls per episode rose from 0.00 to 2.00 and accuracy did not")
    episode = spam[1].trajectories[0]
    assert f"Seen in {episode.sample.id} (seed 0), {episode.sample.id} (seed 1)." in sentence
    assert len([told for told in monitor.sentences if told.startswith("tool spam")]) == 1
    assert {len(saved.tool_turns) for saved in read_trajectories(tmp_path / "collapse.jsonl")} == {2}


def test_collapse_is_named_with_what_pays_and_may_stop_the_stage(
    schooled: VLMPolicy, played: Batch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    monitor = CollapseMonitor(tmp_path, {"accuracy": 1.0, "tool_cost": -0.1}, stop=True, window=1)
    with pytest.raises(UserError, match=r"tool collapse at step 2: .* fell from 1\.00 to 0\.00.*rl\.monitor=warn"):
        watch(schooled, [played(1), played(0), played(0)], monitor, make_trainer)


def test_an_interrupted_stage_goes_on_with_its_course(tmp_path: Path) -> None:
    monitor = CollapseMonitor(tmp_path, {})
    monitor.history, monitor.told = [{"accuracy": 0.5}], ["length"]
    other = CollapseMonitor(tmp_path, {})
    other.load_state_dict(monitor.state_dict())
    assert (other.history, other.told) == (monitor.history, monitor.told)
