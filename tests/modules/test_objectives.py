"""Objectives at work in a module: each takes its steps, old log-probabilities, KL in the reward, adapted weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.callbacks import ReferenceKL
from medvista.functional.objectives import make_objective
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.modules.experience_tensors import prepare
from medvista.policies import SamplingParams, VLMPolicy
from medvista.rl_settings import CorrectionConfig, KLConfig, ObjectiveName
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import TrajectoryGroup, VQASample

MakeTrainer = Callable[..., lightning.Trainer]
RECOMPUTED = CorrectionConfig(old_log_probs="recomputed")


@pytest.fixture(scope="module")
def experience(
    schooled: VLMPolicy, questions: list[VQASample], always_uneven: Callable[..., RolloutCollector]
) -> ExperienceBatch:
    """Two groups of two siblings that the policy sampled itself, rewards drawn by lot."""
    samples = [questions[0], questions[0], questions[2], questions[2]]
    episodes = always_uneven(schooled).collect(samples, SamplingParams(max_new_tokens=12), seeds=range(4))
    groups = [TrajectoryGroup(trajectories=episodes[:2]), TrajectoryGroup(trajectories=episodes[2:])]
    return ExperienceBatch.from_groups(groups)


def fitted(
    policy: VLMPolicy,
    batch: ExperienceBatch,
    make_trainer: MakeTrainer,
    name: ObjectiveName = "grpo",
    updates: int = 2,
    grpo: GRPOConfig | None = None,
    callbacks: tuple[lightning.Callback, ...] = (),
    **options: Any,
) -> tuple[GRPOModule, lightning.Trainer]:
    grpo = grpo or GRPOConfig()
    objective = make_objective(name, grpo, **options)
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=0)
    kl = options.get("kl")
    module = GRPOModule(copy.deepcopy(policy), grpo, optimiser, total_steps=9, objective=objective, kl=kl)
    steps = updates * grpo.minibatches * grpo.inner_epochs
    trainer = make_trainer(max_steps=steps, callbacks=[*callbacks])
    batches = [replace(batch) for _ in range(updates)]
    trainer.fit(module, train_dataloaders=DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return module, trainer


@pytest.mark.parametrize("name", get_args(ObjectiveName))
def test_every_objective_takes_its_steps(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer, name: ObjectiveName
) -> None:
    module, trainer = fitted(schooled, experience, make_trainer, name, callbacks=(ReferenceKL(),))
    assert trainer.global_step == 2
    before = dict(schooled.named_parameters())
    moved = [n for n, p in module.policy.named_parameters() if n in before and not torch.equal(p, before[n])]
    assert moved
    assert all(torch.isfinite(p).all() for p in module.policy.parameters())
    assert torch.isfinite(trainer.logged_metrics["train/loss"])
    assert ("train/value_loss" in trainer.logged_metrics) == (name == "ppo")


def test_a_value_head_learns_what_is_earned(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    class Losses(lightning.Callback):
        seen: list[float] = []  # noqa: RUF012

        def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            self.seen.append(float(trainer.callback_metrics["train/value_loss"]))

    losses = Losses()
    module, _ = fitted(schooled, experience, make_trainer, "ppo", updates=9, callbacks=(losses,))
    assert losses.seen[-1] < 0.5 * losses.seen[0]
    assert module.policy.value_head is not None


def test_recomputed_log_probabilities_are_the_trainers_and_the_engines_are_kept(
    schooled: VLMPolicy, experience: ExperienceBatch
) -> None:
    told = replace(experience, old_log_probs=torch.where(experience.loss_mask, -1.0, 0.0))
    prepare(told, schooled, make_objective(correction=RECOMPUTED), 0.0, temperature=1.0)
    assert told.engine_log_probs is not None
    assert (told.engine_log_probs[told.loss_mask] == -1).all()
    torch.testing.assert_close(told.old_log_probs, experience.old_log_probs, atol=1e-4, rtol=0)


def test_the_gap_is_to_the_engine_also_where_old_log_probabilities_are_recomputed(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    shifted = replace(experience, old_log_probs=torch.where(experience.loss_mask, experience.old_log_probs + 0.25, 0.0))
    _, trainer = fitted(schooled, shifted, make_trainer, updates=1, correction=RECOMPUTED)
    assert trainer.logged_metrics["train/engine_gap"].item() == pytest.approx(0.25, abs=1e-3)
    assert trainer.logged_metrics["train/surrogate"].item() == pytest.approx(0, abs=1e-4)  # ratios of 1 all the same


def test_kl_in_the_reward_lowers_what_an_episode_earned_by_its_sum(
    schooled: VLMPolicy, experience: ExperienceBatch
) -> None:
    strayed = experience.old_log_probs.clone()
    strayed[0] -= 0.5 * experience.loss_mask[0]  # the reference finds the first episode half as likely, token by token
    batch = replace(experience, reference_log_probs=strayed)
    objective = make_objective(kl=KLConfig(coefficient=0.2, placement="reward"), advantage_scale="none")
    plain = replace(batch)
    prepare(batch, schooled, objective, 0.2, temperature=1.0)
    prepare(plain, schooled, objective, 0.0, temperature=1.0)
    assert batch.advantages is not None
    assert plain.advantages is not None
    sampled = experience.loss_mask.sum(dim=1)
    lost = 0.2 * 0.5 * float(sampled[0])
    change = batch.advantages - plain.advantages
    first, second = (change[row][experience.loss_mask[row]] for row in (0, 1))
    torch.testing.assert_close(first, torch.full_like(first, -lost / 2))
    torch.testing.assert_close(second, torch.full_like(second, lost / 2))
    assert (change[2:] == 0).all()


def test_the_weight_of_the_kl_falls_while_the_kl_is_below_its_target_and_travels_in_the_checkpoint(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    kl = KLConfig(coefficient=0.1, target=5.0)
    module, trainer = fitted(schooled, experience, make_trainer, callbacks=(ReferenceKL(),), kl=kl)
    assert module.coefficients.kl == pytest.approx(0.1 * 0.98**2)
    assert trainer.logged_metrics["train/kl_coefficient"].item() == pytest.approx(0.1 * 0.98**2)
    saved: dict[str, Any] = {}
    module.on_save_checkpoint(saved)
    other = GRPOModule(
        copy.deepcopy(schooled), GRPOConfig(), OptimiserConfig(), total_steps=1, objective=module.objective, kl=kl
    )
    other.on_load_checkpoint(saved)
    assert other.coefficients.kl == module.coefficients.kl


def test_the_entropy_bonus_is_paid_below_its_target_only(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    module, trainer = fitted(schooled, experience, make_trainer, grpo=GRPOConfig(entropy_target=50.0))
    assert trainer.logged_metrics["train/entropy_coefficient"].item() == pytest.approx(0.01)  # two steps of 0.005
    assert module.coefficients.entropy_matters
    module, trainer = fitted(
        schooled, experience, make_trainer, grpo=GRPOConfig(entropy_coefficient=0.1, entropy_target=1e-6)
    )
    assert trainer.logged_metrics["train/entropy_coefficient"].item() == 0
    assert not module.coefficients.entropy_matters
