"""Updates of reinforcement learning whose episodes vLLM plays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch

from medvista.functional.objectives import make_objective
from medvista.modules import GRPOModule, OptimiserConfig
from medvista.policies import VLLMEngine, VLLMModel, VLMPolicy
from medvista.rl_settings import CorrectionConfig
from medvista.settings import GRPOConfig
from medvista.types import VQASample

pytestmark = pytest.mark.vllm


class Seen(lightning.Callback):
    """Of every update: the gap of engine and trainer, versions and turns of its episodes."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.versions: list[set[int | None]] = []
        self.turns: list[set[int]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.gaps.append(trainer.callback_metrics["train/engine_gap"].item())
        self.versions.append({turn.completion.version for e in batch.trajectories for turn in e.turns})
        self.turns.append({len(episode.turns) for episode in batch.trajectories})


def test_reinforcement_learning_takes_its_steps_on_episodes_of_vllm(
    base: VLMPolicy,
    vllm_model: VLLMModel,
    questions: list[VQASample],
    looking: Any,
    make_trainer: Callable[..., lightning.Trainer],
) -> None:
    from medvista.datamodules import RolloutDataModule

    policy = copy.deepcopy(base)
    module = GRPOModule(
        policy,
        GRPOConfig(),
        OptimiserConfig(learning_rate=1e-3, warmup_steps=0),
        total_steps=3,
        objective=make_objective(correction=CorrectionConfig().decided(same_numbers=False)),
    )
    data = RolloutDataModule(
        questions,
        lambda played: looking(played, VLLMEngine(played, vllm_model)),
        {"phantom": questions[:2]},
        prompts=2,
        group_size=4,
        updates=3,
        max_new_tokens=12,
    )
    trainer = make_trainer(max_steps=3, limit_val_batches=1, callbacks=[seen := Seen()])
    trainer.fit(module, datamodule=data)
    assert seen.versions == [{0}, {1}, {2}]
    assert seen.turns == [{3}] * 3
    assert max(seen.gaps) <= 1e-4
    moved = (policy.model.get_input_embeddings().weight - base.model.get_input_embeddings().weight).abs().max()
    assert moved > 1e-4
    assert torch.isfinite(trainer.logged_metrics["train/loss"])
