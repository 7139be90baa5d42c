"""A batch that breaks an invariant, a gap, or a gradient that is not finite: what stops, what is skipped and saved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.callbacks import BatchChecks
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import TrajectoryGroup, VQASample

MakeTrainer = Callable[..., lightning.Trainer]


@pytest.fixture(scope="module")
def batch(
    schooled: VLMPolicy, questions: list[VQASample], always_uneven: Callable[..., RolloutCollector]
) -> ExperienceBatch:
    episodes = always_uneven(schooled).collect([questions[0]] * 2, SamplingParams(max_new_tokens=12), seeds=range(2))
    return ExperienceBatch.from_groups([TrajectoryGroup(trajectories=episodes)])


class SometimesNaN(GRPOModule):
    """Its loss is not a number in some steps."""

    bad: Sequence[int] = ()

    def loss(self, part, counts):  # type: ignore[no-untyped-def]
        loss, stats = super().loss(part, counts)
        return loss * (float("nan") if self.global_step in self.bad else 1.0), stats


def fit(
    policy: VLMPolicy,
    batches: list[ExperienceBatch],
    make_trainer: MakeTrainer,
    checks: BatchChecks,
    bad: Sequence[int] = (),
) -> GRPOModule:
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=0)
    module = SometimesNaN(copy.deepcopy(policy), GRPOConfig(), optimiser, total_steps=len(batches))
    module.bad = bad
    trainer = make_trainer(max_steps=len(batches), callbacks=[checks])
    trainer.fit(module, train_dataloaders=DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return module


def saved(folder: Path) -> list[str]:
    path = folder / "broken.jsonl"
    return [episode.sample.id for episode in read_trajectories(path)] if path.exists() else []


def test_a_batch_in_order_trains_and_leaves_nothing(
    schooled: VLMPolicy, batch: ExperienceBatch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    fit(schooled, [batch, replace(batch)], make_trainer, BatchChecks(tmp_path, engine_tolerance=1.0))
    assert saved(tmp_path) == []


def test_a_broken_batch_stops_training_and_is_saved_with_its_tokens(
    schooled: VLMPolicy, batch: ExperienceBatch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    inverted = replace(batch, loss_mask=~batch.loss_mask & batch.attention_mask.bool())
    with pytest.raises(UserError, match=r"the loss mask is not on the sampled tokens.*broken\.jsonl"):
        fit(schooled, [inverted], make_trainer, BatchChecks(tmp_path))
    assert saved(tmp_path) == [trajectory.sample.id for trajectory in batch.trajectories]
    (first, *_) = read_trajectories(tmp_path / "broken.jsonl")
    assert first.stream.token_ids == batch.trajectories[0].stream.token_ids


def test_an_engine_that_computes_other_probabilities_stops_training(
    schooled: VLMPolicy, batch: ExperienceBatch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    far = replace(batch, old_log_probs=torch.where(batch.loss_mask, batch.old_log_probs - 3, 0.0))
    with pytest.raises(UserError, match=r"engine and trainer differ by 3 nats .* more than rl\.engine_tolerance=2"):
        fit(schooled, [far], make_trainer, BatchChecks(tmp_path))
    fit(schooled, [far], make_trainer, BatchChecks(tmp_path, engine_tolerance=4.0))


def test_the_episodes_of_a_step_that_was_left_out_are_saved(
    schooled: VLMPolicy, batch: ExperienceBatch, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    fit(schooled, [batch], make_trainer, BatchChecks(tmp_path, engine_tolerance=1e3), bad=[0])
    assert saved(tmp_path) == [trajectory.sample.id for trajectory in batch.trajectories]
