"""Validation asks its questions three times, and tells what tools add from what the policy can do without them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import lightning
import pytest

from medvista.callbacks import Decomposition
from medvista.datamodules import Control, RolloutDataModule
from medvista.functional.decomposition import BLANKED, WITHOUT_TOOLS
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.parsing import format_action
from medvista.policies import ScriptedPolicy, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.rollout.forks import forkable_calls
from medvista.types import FinalAnswer, ToolCall, Trajectory, VQASample

MakeTrainer = Callable[..., lightning.Trainer]
LOOK = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [0, 0, 500, 500]}))
SHARES = "val/phantom/decomposition"


@pytest.fixture
def held_out(questions: list[VQASample]) -> list[VQASample]:
    """Four questions of each of four families."""
    return [replace(sample, split="validation") for sample in questions]


class Scripted:
    """Makes collectors that look in some families before they answer, and are right in some."""

    def __init__(self, make: Callable[..., RolloutCollector]) -> None:
        self.make = make
        self.asked: list[str] = []  # the questions that were played, a family each

    def __call__(self, *right: str, looking: tuple[str, ...] = ()) -> Callable[[VLMPolicy], RolloutCollector]:
        def script(trajectory: Trajectory) -> str:
            family = trajectory.sample.metadata["family"]
            if family in looking and not trajectory.turns:
                return LOOK
            self.asked.append(family)
            return format_action(FinalAnswer(text=trajectory.sample.answers[0] if family in right else "wrong"))

        return lambda policy: self.make(policy, ScriptedPolicy(script, tokenizer=policy.tokenizer))


def validate(
    policy: VLMPolicy, data: RolloutDataModule, callback: Decomposition, make: MakeTrainer
) -> dict[str, float]:
    module = GRPOModule(copy.deepcopy(policy), GRPOConfig(), OptimiserConfig(), total_steps=1)
    trainer = make(callbacks=[callback], limit_val_batches=1.0)
    trainer.validate(module, datamodule=data, verbose=False)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {name.removeprefix(f"{SHARES}/"): value for name, value in logged.items() if name.startswith(SHARES)}


def test_each_question_is_compared_with_itself(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
) -> None:
    scripted, blanked = Scripted(make_collector), Scripted(make_collector)
    controls: Mapping[str, Control] = {
        WITHOUT_TOOLS: Control(scripted("side", "density"), lambda _: True),
        BLANKED: Control(blanked("yes_no"), lambda episode: bool(forkable_calls(episode))),
    }
    # With tools: attribute is right by a look, yes_no and density look and are wrong, side is right without a look.
    with_tools = scripted("attribute", "side", looking=("attribute", "yes_no", "density"))
    data = RolloutDataModule(
        questions, with_tools, {"phantom": held_out}, prompts=1, group_size=2, updates=1, max_new_tokens=16,
        controls=controls,
    )  # fmt: skip
    data.validation_batch_size = 5  # several batches
    shares = validate(schooled, data, Decomposition(), make_trainer)
    assert shares["call_gain"] == shares["tool_gain"] == 0.25  # attribute
    assert shares["call_harm"] == shares["tool_harm"] == 0.25  # density
    assert shares["tool_effect"] == shares["schema_gain"] == shares["schema_harm"] == 0
    assert shares["observation_gain"] == 0.25  # attribute
    assert shares["observation_harm"] == 0.25  # yes_no
    assert shares["accuracy_without_tools"] == 0.5
    assert shares["accuracy_blanked"] == 0.5  # yes_no, and side as it was played
    assert set(blanked.asked) == {"attribute", "yes_no", "density"}  # without a look there is nothing to blank


def test_gains_are_counted_from_before_the_first_step_also_after_an_interruption(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
) -> None:
    scripted = Scripted(make_collector)

    def data(*right: str) -> RolloutDataModule:
        play = scripted(*right)
        controls = {name: Control(play, lambda _: True) for name in (WITHOUT_TOOLS, BLANKED)}
        return RolloutDataModule(
            questions, play, {"phantom": held_out}, prompts=1, group_size=2, updates=1, max_new_tokens=16,
            controls=controls,
        )  # fmt: skip

    first = Decomposition()
    assert validate(schooled, data("side"), first, make_trainer)["intrinsic_gain"] == 0
    resumed = Decomposition()
    resumed.load_state_dict(first.state_dict())
    module = GRPOModule(copy.deepcopy(schooled), GRPOConfig(), OptimiserConfig(), total_steps=1)
    trainer = make_trainer(
        callbacks=[resumed], limit_val_batches=1.0, max_steps=1, val_check_interval=1, check_val_every_n_epoch=None
    )
    trainer.fit(module, datamodule=data("side", "density", "yes_no"))
    assert trainer.callback_metrics[f"{SHARES}/intrinsic_gain"] == 0.5
    assert resumed.at_start["phantom"]["right_without_tools"] == 4
