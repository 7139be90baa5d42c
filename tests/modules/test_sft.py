"""Supervised fine-tuning learns what was demonstrated."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import RolloutCollector, TokenBatch
from medvista.types import Trajectory

MakeTrainer = Callable[..., lightning.Trainer]


class Losses(lightning.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(outputs["loss"].item())


def learn(policy: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer, steps: int, **rates: float) -> list[float]:
    module = SFTModule(policy, OptimiserConfig(**rates), total_steps=steps)  # type: ignore[arg-type]
    loader: DataLoader[TokenBatch] = DataLoader([batch] * steps, batch_size=None)  # type: ignore[arg-type]
    trainer = make_trainer(max_steps=steps, callbacks=[losses := Losses()])
    trainer.fit(module, train_dataloaders=loader)
    return losses.seen


def test_four_demonstrations_are_learned_and_then_played_back(
    nano: VLMPolicy,
    demonstrations: list[Trajectory],
    make_trainer: MakeTrainer,
    make_collector: Callable[..., RolloutCollector],
) -> None:
    policy, four = copy.deepcopy(nano), demonstrations[:4]
    batch = TokenBatch.from_streams([episode.stream for episode in four])
    losses = learn(policy, batch, make_trainer, 80, learning_rate=1e-2, vision_learning_rate=1e-3)
    assert losses[-1] < losses[0] / 10
    params = SamplingParams(max_new_tokens=60, temperature=0)
    played = make_collector(policy.eval()).collect([e.sample for e in four], params, seeds=range(4))
    assert [e.stream.token_ids for e in played] == [e.stream.token_ids for e in four]


def test_the_loss_of_a_step_is_the_mean_surprise_of_each_demonstration(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_trainer: MakeTrainer
) -> None:
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])
    with torch.no_grad():
        scores, _ = batch.log_probs(nano)
    expected = -(scores.sum(dim=1) / batch.loss_mask.sum(dim=1)).mean()
    (loss,) = learn(copy.deepcopy(nano), batch, make_trainer, 1)
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def test_padding_has_no_influence(nano: VLMPolicy, demonstrations: list[Trajectory]) -> None:
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])
    with torch.no_grad():
        scores, _ = batch.log_probs(nano)
        batch.token_ids[batch.attention_mask == 0] = 300
        assert torch.equal(batch.log_probs(nano)[0], scores)


def test_a_frozen_vision_tower_keeps_its_weights(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_trainer: MakeTrainer
) -> None:
    policy = copy.deepcopy(nano)
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])
    learn(policy, batch, make_trainer, 3, learning_rate=1e-2)
    kept = dict(nano.vision_tower.named_parameters())
    assert all(torch.equal(p, kept[name]) for name, p in policy.vision_tower.named_parameters())
    embeddings = [p.model.get_input_embeddings().weight for p in (policy, nano)]
    assert not torch.equal(*embeddings)
