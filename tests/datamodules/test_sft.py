"""Demonstrations in an order that survives an interruption, and validation by greedy rollouts."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning
import pytest

from medvista.data.mixing import MixedSampler
from medvista.datamodules import SFTDataModule
from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector, TokenBatch, TrajectoryBatch
from medvista.types import Trajectory, VQASample

MakeCollector = Callable[..., RolloutCollector]
MakeTrainer = Callable[..., lightning.Trainer]


class Watch(lightning.Callback):
    """Keeps what was trained on, and which episodes validated it."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, ...]] = []
        self.validated: list[Trajectory] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: TokenBatch, batch_idx: int) -> None:
        lengths = batch.attention_mask.sum(dim=1).tolist()
        self.trained += [tuple(row[:n].tolist()) for row, n in zip(batch.token_ids, lengths, strict=True)]

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: TrajectoryBatch, *index: Any
    ) -> None:
        self.validated += batch.trajectories


def datamodule(
    demonstrations: list[Trajectory], make: MakeCollector, validation: list[VQASample], **options: Any
) -> SFTDataModule:
    streams = [episode.stream for episode in demonstrations]
    defaults = {"batch_size": 4, "seed": 3, "max_new_tokens": 12}
    return SFTDataModule(streams, make, {"phantom": validation} if validation else {}, **{**defaults, **options})


def fit(trainer: lightning.Trainer, policy: VLMPolicy, data: SFTDataModule) -> None:
    module = SFTModule(copy.deepcopy(policy), OptimiserConfig(learning_rate=1e-3), total_steps=8)
    trainer.fit(module, datamodule=data)


def test_an_epoch_shows_every_demonstration_once_and_the_next_in_another_order(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    watch = Watch()
    fit(make_trainer(max_steps=8, callbacks=[watch]), nano, datamodule(demonstrations, make_collector, []))
    streams = Counter(episode.stream.token_ids for episode in demonstrations)
    assert Counter(watch.trained[:16]) == streams
    assert Counter(watch.trained[16:]) == streams
    assert watch.trained[:16] != watch.trained[16:]


def test_a_loaded_state_goes_on_with_the_next_demonstrations(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    whole, first, second = Watch(), Watch(), Watch()
    fit(make_trainer(max_steps=5, callbacks=[whole]), nano, datamodule(demonstrations, make_collector, []))
    before = datamodule(demonstrations, make_collector, [])
    fit(make_trainer(max_steps=3, callbacks=[first]), nano, before)
    assert before.state_dict() == {"position": 12}  # what was used, not what the loader had fetched ahead
    after = datamodule(demonstrations, make_collector, [])
    after.load_state_dict(before.state_dict())
    fit(make_trainer(max_steps=2, callbacks=[second]), nano, after)
    assert first.trained + second.trained == whole.trained


def test_a_mixture_of_benchmarks_is_kept_and_goes_on_exactly(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    rare = {episode.stream.token_ids for episode in demonstrations[:2]}

    def data() -> SFTDataModule:
        order = MixedSampler(["rare"] * 2 + ["frequent"] * 14, {"rare": 1, "frequent": 3}, seed=3)
        return datamodule(demonstrations, make_collector, [], order=order)

    whole, first, second = Watch(), Watch(), Watch()
    fit(make_trainer(max_steps=5, callbacks=[whole]), nano, data())
    before, after = data(), data()
    fit(make_trainer(max_steps=3, callbacks=[first]), nano, before)
    after.load_state_dict(before.state_dict())
    fit(make_trainer(max_steps=2, callbacks=[second]), nano, after)
    assert first.trained + second.trained == whole.trained
    for start in range(0, 20, 4):  # one of each batch of four
        assert sum(tokens in rare for tokens in whole.trained[start : start + 4]) == 1


def test_validation_plays_each_question_once_and_greedily(
    schooled: VLMPolicy,
    questions: list[VQASample],
    demonstrations: list[Trajectory],
    make_collector: MakeCollector,
    make_trainer: MakeTrainer,
) -> None:
    held_out = [replace(sample, split="validation") for sample in questions[:6]]
    data = datamodule(demonstrations, make_collector, held_out)
    module = SFTModule(copy.deepcopy(schooled), OptimiserConfig(), total_steps=1)
    runs = []
    for _ in range(2):
        watch = Watch()
        make_trainer(callbacks=[watch], limit_val_batches=1.0).validate(module, datamodule=data, verbose=False)
        runs.append(watch.validated)
    assert [episode.sample.id for episode in runs[0]] == [sample.id for sample in held_out]
    assert [e.stream.token_ids for e in runs[0]] == [e.stream.token_ids for e in runs[1]]


def test_no_demonstration_at_all_is_explained(make_collector: MakeCollector) -> None:
    with pytest.raises(UserError, match="no demonstration to train on"):
        datamodule([], make_collector, [])


def test_validation_on_test_questions_is_refused(
    questions: list[VQASample], demonstrations: list[Trajectory], make_collector: MakeCollector
) -> None:
    with pytest.raises(UserError, match="'phantom' given to training or validation holds test questions"):
        datamodule(demonstrations, make_collector, [replace(questions[0], split="test")])
