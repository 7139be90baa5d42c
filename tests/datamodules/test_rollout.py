"""Rollouts on the fly: by the weights they will update, from questions that come in one order whatever happens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import lightning
import pytest
import torch

from medvista.data.curriculum import CurriculumSampler
from medvista.data.phantom_vqa import phantom_samples
from medvista.datamodules import RolloutDataModule
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import ScriptedPolicy, VLMPolicy
from medvista.rl_settings import CurriculumConfig
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import Trajectory, VQASample

MakeCollector = Callable[..., RolloutCollector]
MakeTrainer = Callable[..., lightning.Trainer]


class Watch(lightning.Callback):
    """Keeps every batch, with what was true of trainer and policy when it was about to be learned from."""

    def __init__(self) -> None:
        self.batches: list[ExperienceBatch] = []
        self.global_steps: list[int] = []
        self.gaps: list[float] = []
        self.modes: list[bool] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: ExperienceBatch, batch_idx: int) -> None:
        with torch.no_grad():
            scores, _ = batch.log_probs(pl_module.policy)
        self.batches.append(batch)
        self.global_steps.append(trainer.global_step)
        self.gaps.append((scores - batch.old_log_probs).abs().max().item())
        self.modes.append(pl_module.policy.training)

    @property
    def played(self) -> list[list[tuple[str, int, tuple[int, ...]]]]:
        """Question, seed and tokens of each episode, one list per update."""
        return [[(t.sample.id, t.seed, t.stream.token_ids) for t in batch.trajectories] for batch in self.batches]


def datamodule(
    make: Callable[[VLMPolicy], RolloutCollector], train: Sequence[VQASample], **options: Any
) -> RolloutDataModule:
    defaults = {"prompts": 3, "group_size": 3, "updates": 4, "max_new_tokens": 16, "seed": 5}
    return RolloutDataModule(train, make, {}, **{**defaults, **options})


def fit(
    trainer: lightning.Trainer,
    policy: VLMPolicy,
    data: RolloutDataModule,
    learning_rate: float = 1e-2,
    minibatches: int = 1,
) -> GRPOModule:
    optimiser = OptimiserConfig(learning_rate=learning_rate, warmup_steps=0)
    config = GRPOConfig(minibatches=minibatches)
    module = GRPOModule(copy.deepcopy(policy), config, optimiser, total_steps=10)
    trainer.fit(module, datamodule=data)
    return module


def test_the_engine_is_told_of_new_weights_before_it_plays(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    told: list[int] = []

    class Told(ScriptedPolicy):
        def update_weights(self, version: int) -> None:
            told.append(version)

    def make(policy: VLMPolicy) -> RolloutCollector:
        return make_collector(policy, Told(lambda t: "<answer>solid</answer>", tokenizer=policy.tokenizer))

    watch = Watch()
    fit(make_trainer(max_steps=3, callbacks=[watch]), schooled, datamodule(make, questions))
    assert told == watch.global_steps == [0, 1, 2]
    assert [batch.trajectories[0].policy_version for batch in watch.batches] == told


@pytest.mark.parametrize("minibatches", [1, 2])
def test_every_batch_is_played_by_the_weights_it_updates(
    schooled: VLMPolicy,
    questions: list[VQASample],
    always_uneven: MakeCollector,
    make_trainer: MakeTrainer,
    minibatches: int,
) -> None:
    watch = Watch()
    trainer = make_trainer(max_steps=3 * minibatches, callbacks=[watch])
    module = fit(trainer, schooled, datamodule(always_uneven, questions), minibatches=minibatches)
    assert watch.global_steps == [0, minibatches, 2 * minibatches]
    versions = [{trajectory.policy_version for trajectory in batch.trajectories} for batch in watch.batches]
    assert versions == [{step} for step in watch.global_steps]
    assert max(watch.gaps) < 1e-4
    with torch.no_grad():  # the weights did move: those of the end are not those that played
        moved, _ = watch.batches[-1].log_probs(module.policy)
    assert (moved - watch.batches[-1].old_log_probs).abs().max() > 1e-2


def test_the_same_seed_plays_the_same_episodes_and_another_one_others(
    schooled: VLMPolicy, questions: list[VQASample], always_uneven: MakeCollector, make_trainer: MakeTrainer
) -> None:
    runs = []
    for seed in (5, 5, 6):
        fit(
            make_trainer(max_steps=2, callbacks=[watch := Watch()]),
            schooled,
            datamodule(always_uneven, questions, seed=seed),
        )
        runs.append(watch.played)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_every_episode_of_a_run_has_its_own_seed_even_where_a_batch_holds_a_question_twice(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    watch = Watch()
    data = datamodule(_alternating(make_collector), questions[:2], prompts=5, group_size=2)
    fit(make_trainer(max_steps=3, callbacks=[watch]), schooled, data)
    seeds = [trajectory.seed for batch in watch.batches for trajectory in batch.trajectories]
    assert len(set(seeds)) == len(seeds)
    assert data.episodes == 3 * 5 * 2


def test_a_loaded_state_goes_on_with_the_next_questions(
    schooled: VLMPolicy, questions: list[VQASample], always_uneven: MakeCollector, make_trainer: MakeTrainer
) -> None:
    whole, first, second = Watch(), Watch(), Watch()
    fit(
        make_trainer(max_steps=4, callbacks=[whole]),
        schooled,
        datamodule(always_uneven, questions),
        learning_rate=1e-12,
    )
    before = datamodule(always_uneven, questions)
    fit(make_trainer(max_steps=2, callbacks=[first]), schooled, before, learning_rate=1e-12)
    after = datamodule(always_uneven, questions)
    after.load_state_dict(before.state_dict())
    fit(make_trainer(max_steps=2, callbacks=[second]), schooled, after, learning_rate=1e-12)
    assert first.played + second.played == whole.played
    assert (after.episodes, after.generated_tokens) == (2 * before.episodes, after.generated_tokens)


def test_a_state_of_other_data_is_refused(make_collector: MakeCollector, questions: list[VQASample]) -> None:
    state = datamodule(make_collector, questions).state_dict()
    with pytest.raises(UserError, match="made with data size 16, now it is 15"):
        datamodule(make_collector, questions[:15]).load_state_dict(state)


# --------------------------------------------------------------------------------------------- groups without variance


def _scripted(make: MakeCollector, answer: Callable[[Trajectory], str]) -> Callable[[VLMPolicy], RolloutCollector]:
    def collector(policy: VLMPolicy) -> RolloutCollector:
        return make(policy, ScriptedPolicy(lambda t: f"<answer>{answer(t)}</answer>", tokenizer=policy.tokenizer))

    return collector


def _alternating(make: MakeCollector) -> Callable[[VLMPolicy], RolloutCollector]:
    """Every other episode is right, so that no group is without variance."""
    turn = iter(range(10**6))
    return _scripted(make, lambda t: t.sample.answers[0] if next(turn) % 2 else "wrong")


def test_groups_without_variance_are_replaced_from_the_same_stream_of_questions(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    turn = iter(range(10**6))

    def answer(trajectory: Trajectory) -> str:
        easy = trajectory.sample.metadata["family"] == "side"
        return trajectory.sample.answers[0] if easy or next(turn) % 2 else "wrong"

    watch = Watch()
    data = datamodule(
        _scripted(make_collector, answer), questions, prompts=12, group_size=2, refill_rounds=3, updates=2
    )
    fit(make_trainer(max_steps=1, callbacks=[watch]), schooled, data)
    (batch,) = watch.batches
    assert len(batch) == 12 * 2
    assert all(trajectory.sample.metadata["family"] != "side" for trajectory in batch.trajectories)
    assert (batch.advantages[batch.loss_mask] != 0).all()
    stats = batch.stats or {}
    played = int(stats["rollout/episodes"]) // 2
    assert 12 < played <= 16
    assert data.state_dict()["sampler"]["position"] == played  # refills use up questions like all others
    assert stats["rollout/zero_variance_share"] == pytest.approx((played - 12) / played)
    # What is logged counts every episode: those of the easy questions are all right and were left out of the batch.
    assert stats["rollout/accuracy"] == pytest.approx((12 * 0.5 + (played - 12)) / played)
    assert batch.rewards.mean() == 0.5


def test_where_no_group_has_variance_one_stays_and_teaches_nothing(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    watch = Watch()
    data = datamodule(_scripted(make_collector, lambda t: "wrong"), questions, prompts=2, refill_rounds=2)
    trainer = make_trainer(max_steps=1, callbacks=[watch])
    module = fit(trainer, schooled, data)
    (batch,) = watch.batches
    assert len(batch) == 3
    assert (batch.advantages == 0).all()
    assert (batch.stats or {})["rollout/episodes"] == 3 * 2 * 3
    assert trainer.global_step == 1
    assert all(torch.equal(a, b) for a, b in zip(module.policy.parameters(), schooled.parameters(), strict=True))


def test_of_more_groups_than_needed_the_first_useful_ones_are_learned_from(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    watch, plain = Watch(), Watch()
    options = {"prompts": 4, "group_size": 2, "updates": 1}
    make = _alternating(make_collector)
    data = datamodule(make, questions, oversample=1.6, **options)
    fit(make_trainer(max_steps=1, callbacks=[watch]), schooled, data)
    fit(make_trainer(max_steps=1, callbacks=[plain]), schooled, datamodule(make, questions, **options))
    (batch,) = watch.batches
    asked = [trajectory.sample.id for trajectory in batch.trajectories]
    assert asked == [trajectory.sample.id for trajectory in plain.batches[0].trajectories]  # in the order of the draw
    stats = batch.stats or {}
    assert stats["rollout/surplus_groups"] == 3  # of ceil(4 x 1.6) = 7
    assert stats["rollout/episodes"] == 14  # all of which count
    assert data.state_dict()["sampler"]["position"] == 7


def test_a_curriculum_goes_by_what_was_answered_rightly_and_goes_on_exactly(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    turn = iter(range(10**6))

    def answer(trajectory: Trajectory) -> str:
        family = trajectory.sample.metadata["family"]
        right = family == "side" or (family == "density" and next(turn) % 2)
        return trajectory.sample.answers[0] if right else "wrong"

    def data() -> RolloutDataModule:
        order = CurriculumSampler([""] * 16, CurriculumConfig(floor=1e-6), seed=1)
        return datamodule(
            _scripted(make_collector, answer), questions, prompts=4, group_size=8, updates=12, order=order
        )

    def asked(watch: Watch) -> list[list[str]]:
        return [[t.sample.id for t in batch.trajectories[::8]] for batch in watch.batches]

    played, steps = Watch(), 8
    before = data()
    fit(make_trainer(max_steps=steps, callbacks=[played]), schooled, before, learning_rate=1e-12)
    curriculum = (played.batches[-1].stats or {}).items()
    assert {("curriculum/easy", 0.25), ("curriculum/hard", 0.5), ("curriculum/intermediate", 0.25)} <= {*curriculum}
    family = {sample.id: sample.metadata["family"] for sample in questions}
    assert {family[name] for update in asked(played)[-3:] for name in update} == {"density"}
    state = before.state_dict()
    runs = []
    for _ in range(2):
        after = data()
        after.load_state_dict(copy.deepcopy(state))
        fit(make_trainer(max_steps=3, callbacks=[watch := Watch()]), schooled, after, learning_rate=1e-12)
        runs.append((asked(watch), after.state_dict()["sampler"]))
    assert runs[0] == runs[1]
    assert len({seed for batch in played.batches for *_, seed in [(t.seed,) for t in batch.trajectories]}) > 4 * 8


# ----------------------------------------------------------------------------------------------------- hooks and splits


def test_rollouts_run_in_evaluation_mode_without_gradient_and_leave_no_trace(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    seen = []

    def collector(policy: VLMPolicy) -> RolloutCollector:
        def watch(trajectory: Trajectory) -> str:
            seen.append((policy.training, policy.model.training, torch.is_grad_enabled()))
            return "<answer>yes</answer>"

        return make_collector(policy, ScriptedPolicy(watch, tokenizer=policy.tokenizer))

    watch = Watch()
    fit(make_trainer(max_steps=2, callbacks=[watch]), copy.deepcopy(schooled).train(), datamodule(collector, questions))
    assert set(seen) == {(False, False, False)}
    assert watch.modes == [True, True]


def test_a_rollout_that_fails_gives_the_training_mode_back(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector, make_trainer: MakeTrainer
) -> None:
    data = datamodule(make_collector, questions)
    module = fit(make_trainer(max_steps=1, callbacks=[]), schooled, data)
    module.train()
    module.policy.vision_tower.eval()  # frozen
    modes = [part.training for part in module.modules()]
    inside = []
    with suppress(ZeroDivisionError), data.rollout_mode():
        inside += [part.training for part in module.modules()]
        1 / 0  # noqa: B018
    assert not any(inside)
    assert [part.training for part in module.modules()] == modes


@pytest.mark.parametrize("where", ["train", "validation"])
def test_test_questions_are_refused(questions: list[VQASample], make_collector: MakeCollector, where: str) -> None:
    test = phantom_samples("test", images=1)
    train = [*questions, test[0]] if where == "train" else questions
    validation = {"phantom": [replace(questions[0], split="validation"), test[0]]} if where == "validation" else {}
    name = "train" if where == "train" else "phantom"
    with pytest.raises(UserError, match=f"'{name}' given to training or validation holds test questions"):
        RolloutDataModule(train, make_collector, validation, prompts=1, group_size=2, updates=1, max_new_tokens=4)
