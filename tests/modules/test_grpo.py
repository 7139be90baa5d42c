"""One update of GRPO: what it makes likelier, what it logs, and where its gradient ends."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.functional.objectives import LossCounts, broadcast_to_tokens, group_advantages, make_objective
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rl_settings import KLConfig
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.settings import AdvantageScale, Aggregation
from medvista.types import TrajectoryGroup, VQASample

MakeTrainer = Callable[..., lightning.Trainer]

RIGHT, WRONG = "<think>It is clear.</think><answer>{}</answer>", "<answer>wrong</answer>"


@pytest.fixture
def experience(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> ExperienceBatch:
    """Two groups of a right and a wrong sibling, as if the policy had sampled them."""
    script = ScriptedPolicy(
        lambda t: RIGHT.format(t.sample.answers[0]) if t.seed % 2 == 0 else WRONG, tokenizer=schooled.tokenizer
    )
    samples = [questions[0], questions[0], questions[2], questions[2]]
    episodes = make_collector(schooled, script).collect(samples, SamplingParams(), seeds=range(4))
    groups = [TrajectoryGroup(trajectories=episodes[:2]), TrajectoryGroup(trajectories=episodes[2:])]
    batch = ExperienceBatch.from_groups(groups)
    # As an update does before its first step.
    batch.advantages = broadcast_to_tokens(group_advantages(batch.rewards_PG).flatten(), batch.loss_mask)
    with torch.no_grad():
        batch.old_log_probs, _ = batch.log_probs(schooled)
    return batch


def update(
    policy: VLMPolicy,
    batch: ExperienceBatch,
    make_trainer: MakeTrainer,
    updates: int = 1,
    advantage_scale: AdvantageScale | None = None,
    micro_batch_tokens: int = 0,
    **config: Any,
) -> tuple[VLMPolicy, lightning.Trainer]:
    settings = GRPOConfig(**config)
    steps = updates * settings.minibatches * settings.inner_epochs
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=0)
    objective = make_objective("grpo", settings, advantage_scale=advantage_scale)
    module = GRPOModule(
        copy.deepcopy(policy),
        settings,
        optimiser,
        total_steps=steps,
        objective=objective,
        micro_batch_tokens=micro_batch_tokens,
    )
    trainer = make_trainer(max_steps=steps)
    trainer.fit(module, train_dataloaders=DataLoader([batch] * updates, batch_size=None))  # type: ignore[arg-type]
    return module.policy, trainer


def of_rows(batch: ExperienceBatch) -> list[float]:
    """The advantage of each row, which all of its sampled tokens share."""
    assert batch.advantages is not None
    rows = [row[mask].unique() for row, mask in zip(batch.advantages, batch.loss_mask, strict=True)]
    assert (batch.advantages[~batch.loss_mask] == 0).all()
    return [row.item() for row in rows]


def whole(batch: ExperienceBatch) -> LossCounts:
    """The counts of a step that learns from these rows only."""
    return LossCounts.of(batch.loss_mask)


def likelihoods(policy: VLMPolicy, batch: ExperienceBatch) -> torch.Tensor:
    with torch.no_grad():
        scores, _ = batch.log_probs(policy)
    return scores.sum(dim=1)


def test_one_update_makes_the_better_sibling_likelier_and_the_worse_less_so(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    assert of_rows(experience) == pytest.approx([1, -1, 1, -1], abs=1e-4)
    policy, _ = update(schooled, experience, make_trainer)
    change = likelihoods(policy, experience) - likelihoods(schooled, experience)
    assert (change[[0, 2]] > 0).all()
    assert (change[[1, 3]] < 0).all()


class KeepBatch(lightning.Callback):
    """Keeps the batch that was learned from: Lightning's transfer hands the module a copy."""

    batch: ExperienceBatch

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.batch = batch


@pytest.mark.parametrize(("scale", "expected"), [("std", [1, -1, 1, -1]), ("none", [0.5, -0.5, 2, -2])])
def test_advantages_are_over_the_siblings_even_where_minibatches_part_them(
    schooled: VLMPolicy,
    experience: ExperienceBatch,
    make_trainer: MakeTrainer,
    scale: AdvantageScale,
    expected: list[float],
) -> None:
    batch = replace(experience, rewards=torch.tensor([1.0, 0.0, 4.0, 0.0]), advantages=None)
    make_watched = partial(make_trainer, callbacks=[keep := KeepBatch()])
    update(schooled, batch, make_watched, advantage_scale=scale, minibatches=4)
    assert of_rows(keep.batch) == pytest.approx(expected, abs=1e-4)


def test_an_update_takes_an_optimiser_step_per_minibatch_and_inner_epoch(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    _, trainer = update(schooled, experience, make_trainer, minibatches=2, inner_epochs=3)
    assert trainer.global_step == 6


def test_more_minibatches_than_rows_do_not_break_an_update(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    policy, trainer = update(schooled, experience.select([0, 1]), make_trainer, minibatches=4)
    assert trainer.global_step == 4
    assert all(torch.isfinite(parameter).all() for parameter in policy.parameters())


def test_what_is_logged_has_the_values_of_the_first_step(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer
) -> None:
    _, trainer = update(schooled, experience, make_trainer)
    logged = {name: float(value) for name, value in trainer.logged_metrics.items()}
    assert logged["train/engine_gap"] < 1e-4
    assert logged["train/clip_fraction"] == 0
    assert logged["train/surrogate"] == pytest.approx(0, abs=1e-4)  # ratios of 1, advantages that sum to 0
    assert logged["train/loss"] == pytest.approx(logged["train/surrogate"])
    with torch.no_grad():
        _, entropy = experience.log_probs(schooled, entropy="value")
    assert logged["train/entropy"] == pytest.approx(entropy[experience.loss_mask].mean().item(), rel=1e-4)
    assert logged["rollout/accuracy"] == logged["reward/accuracy"] == 0.5
    assert logged["rollout/stream_tokens"] == pytest.approx(experience.attention_mask.sum(dim=1).float().mean().item())
    assert "train/kl" not in logged


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_what_is_logged_is_of_the_step_whatever_its_parts(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer, aggregation: str
) -> None:
    apart = torch.tensor([0.1, 0.4, -0.3, 0.2])[:, None]  # by how much the engine differs from the trainer
    batch = replace(experience, old_log_probs=experience.old_log_probs + apart)
    batch.reference_log_probs = experience.old_log_probs + 2 * apart
    logged = []
    for tokens in (0, 1):
        _, trainer = update(schooled, batch, make_trainer, micro_batch_tokens=tokens, aggregation=aggregation)
        names = {name for name in trainer.logged_metrics if name.startswith("train/")} - {"train/seconds"}
        logged.append({name: float(trainer.logged_metrics[name]) for name in names})
    whole, parts = logged
    assert parts == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert whole["train/engine_gap"] == pytest.approx(0.4, abs=1e-3)
    assert min(whole["train/kl"], whole["train/entropy"], whole["train/clip_fraction"], whole["train/grad_norm"]) > 0


def test_the_clip_fraction_is_the_share_of_tokens_that_are_held_back(
    schooled: VLMPolicy, experience: ExperienceBatch
) -> None:
    module = GRPOModule(copy.deepcopy(schooled), GRPOConfig(), OptimiserConfig(), total_steps=1)
    # Say the sampling policy had found the right answers half as likely: their ratio is 2, above the clip.
    doubled = experience.old_log_probs - torch.where(experience.advantages > 0, torch.tensor(2.0).log(), 0.0)
    loss, stats = module.loss(replace(experience, old_log_probs=doubled), whole(experience))
    good = (experience.advantages > 0).sum() / experience.loss_mask.sum()
    assert stats["train/clip_fraction"].item() == pytest.approx(good.item())
    # Two sequences at -1.2 x 1 and two at +1 x 1, of four.
    assert loss.item() == pytest.approx((-1.2 + 1) / 2, abs=1e-4)


def test_the_kl_term_pulls_towards_the_reference(schooled: VLMPolicy, experience: ExperienceBatch) -> None:
    objective = make_objective(kl=KLConfig(coefficient=0.5, estimator="k2"))
    module = GRPOModule(copy.deepcopy(schooled), GRPOConfig(), OptimiserConfig(), total_steps=1, objective=objective)
    shifted = torch.where(experience.loss_mask, experience.old_log_probs + 0.4, 0.0)
    loss, stats = module.loss(replace(experience, reference_log_probs=shifted), whole(experience))
    assert stats["train/kl"].item() == pytest.approx(0.5 * 0.4**2, abs=1e-4)
    assert loss.item() == pytest.approx(stats["train/surrogate"].item() + 0.5 * 0.08, abs=1e-4)


def test_the_entropy_bonus_is_taken_off_the_loss(schooled: VLMPolicy, experience: ExperienceBatch) -> None:
    module = GRPOModule(copy.deepcopy(schooled), GRPOConfig(entropy_coefficient=0.1), OptimiserConfig(), total_steps=1)
    loss, stats = module.loss(experience, whole(experience))
    assert loss.item() == pytest.approx(stats["train/surrogate"].item() - 0.1 * stats["train/entropy"].item(), abs=1e-5)


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
def test_a_batch_without_loss_moves_no_weight(
    schooled: VLMPolicy, experience: ExperienceBatch, make_trainer: MakeTrainer, aggregation: str
) -> None:
    policy, _ = update(schooled, experience.without_loss(), make_trainer, aggregation=aggregation)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), schooled.parameters(), strict=True))
