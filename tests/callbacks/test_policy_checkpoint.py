"""An interrupted run goes on as if nothing had happened; the best policy by validation is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from medvista.callbacks import BenchmarkValidation, PolicyCheckpoint, ReferenceKL
from medvista.datamodules import RolloutDataModule, SFTDataModule
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory, VQASample

MakeTrainer = Callable[..., lightning.Trainer]
OPTIMISER = OptimiserConfig(learning_rate=3e-3, vision_learning_rate=1e-3, warmup_steps=2, decay_to=0.1)


class Stages:
    """Makes the parts of a fresh run of each stage."""

    def __init__(
        self,
        questions: list[VQASample],
        demonstrations: list[Trajectory],
        make: Callable[[VLMPolicy], RolloutCollector],
    ) -> None:
        self.questions, self.make = questions, make
        self.streams = [episode.stream for episode in demonstrations]
        self.held_out = {"phantom": [replace(sample, split="validation") for sample in questions[:4]]}

    def sft(self, policy: VLMPolicy) -> tuple[Any, Any, list[lightning.Callback]]:
        data = SFTDataModule(self.streams, self.make, self.held_out, batch_size=3, seed=0, max_new_tokens=12)
        return SFTModule(copy.deepcopy(policy), OPTIMISER, total_steps=4), data, []

    def grpo(self, policy: VLMPolicy, minibatches: int = 1) -> tuple[Any, Any, list[lightning.Callback]]:
        config = GRPOConfig(minibatches=minibatches)
        module = GRPOModule(copy.deepcopy(policy), config, OPTIMISER, total_steps=4 * minibatches)
        data = RolloutDataModule(self.questions, self.make, {}, prompts=3, group_size=3, updates=4, max_new_tokens=16)
        return module, data, [ReferenceKL()]

    def grpo_in_minibatches(self, policy: VLMPolicy) -> tuple[Any, Any, list[lightning.Callback]]:
        return self.grpo(policy, minibatches=2)


@pytest.fixture
def stages(
    questions: list[VQASample], demonstrations: list[Trajectory], always_uneven: Callable[[VLMPolicy], RolloutCollector]
) -> Stages:
    return Stages(questions, demonstrations, always_uneven)


@pytest.mark.parametrize(("stage", "steps"), [("sft", 1), ("grpo", 1), ("grpo_in_minibatches", 2)])
def test_two_updates_and_two_more_after_a_resume_are_four_in_one_go(
    schooled: VLMPolicy,
    nano: VLMPolicy,
    stages: Stages,
    make_trainer: MakeTrainer,
    tmp_path: Path,
    stage: str,
    steps: int,
) -> None:
    def fit(policy: VLMPolicy, updates: int, folder: str, resume: bool = False) -> VLMPolicy:
        module, data, callbacks = getattr(stages, stage)(policy)
        checkpoint = PolicyCheckpoint(tmp_path / folder, every_n_steps=steps)
        trainer = make_trainer(max_steps=updates * steps, callbacks=[*callbacks, checkpoint], gradient_clip_val=None)
        last = tmp_path / folder / "last.ckpt"
        trainer.fit(module, datamodule=data, ckpt_path=last if resume else None, weights_only=False)
        assert trainer.global_step == updates * steps
        trained: VLMPolicy = module.policy
        return trained

    straight = fit(schooled, 4, "straight")
    halfway = fit(schooled, 2, "resumed")
    resumed = fit(nano, 4, "resumed", resume=True)  # begins with other weights: everything comes from the checkpoint
    for (name, one), other in zip(straight.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0, msg=name)
    assert any(not torch.equal(a, b) for a, b in zip(halfway.parameters(), resumed.parameters(), strict=True))


def test_of_the_steps_in_between_only_the_last_checkpoint_stays(
    schooled: VLMPolicy, stages: Stages, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    module, data, _ = stages.sft(schooled)
    make_trainer(max_steps=4, callbacks=[PolicyCheckpoint(tmp_path, every_n_steps=2)]).fit(module, datamodule=data)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt", "step=4.ckpt"]
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert state["global_step"] == 4


def test_with_a_benchmark_the_checkpoint_of_the_best_validation_is_kept(
    schooled: VLMPolicy, stages: Stages, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    class Accuracies(lightning.Callback):
        seen: dict[int, float] = {}  # noqa: RUF012

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            self.seen[trainer.global_step] = trainer.callback_metrics["val/phantom/accuracy"].item()

    module, data, _ = stages.sft(schooled)
    checkpoint, accuracies = PolicyCheckpoint(tmp_path, benchmark="phantom"), Accuracies()
    trainer = make_trainer(
        max_steps=4,
        callbacks=[BenchmarkValidation(), accuracies, checkpoint],
        limit_val_batches=1.0,
        val_check_interval=1,
        check_val_every_n_epoch=None,
    )
    trainer.fit(module, datamodule=data)
    assert sorted(accuracies.seen) == [1, 2, 3, 4]
    best = torch.load(checkpoint.best_model_path, weights_only=False)
    assert accuracies.seen[best["global_step"]] == max(accuracies.seen.values())
    assert torch.load(tmp_path / "last.ckpt", weights_only=False)["global_step"] == 4
