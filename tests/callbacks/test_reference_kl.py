"""The reference stays what the policy was when training began, also across an interruption."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from medvista.callbacks import PolicyCheckpoint, ReferenceKL
from medvista.datamodules import RolloutDataModule
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import VLMPolicy
from medvista.policies.frozen_weights import FrozenWeights
from medvista.rollout import RolloutCollector
from medvista.types import VQASample


class Divergences(lightning.Callback):
    """The KL of every update."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(trainer.callback_metrics["train/kl"].item())


@pytest.fixture
def fit(
    questions: list[VQASample],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
    tmp_path: Path,
) -> Callable[..., tuple[list[float], ReferenceKL]]:
    def run(
        policy: VLMPolicy, updates: int, resume: bool = False, temperature: float = 1.0, **options: Any
    ) -> tuple[list[float], ReferenceKL]:
        module = GRPOModule(
            copy.deepcopy(policy),
            GRPOConfig(),
            OptimiserConfig(learning_rate=3e-3, warmup_steps=0),
            total_steps=4,
            temperature=temperature,
        )
        data = RolloutDataModule(
            questions,
            always_uneven,
            {},
            prompts=3,
            group_size=3,
            updates=4,
            max_new_tokens=16,
            temperature=temperature,
        )
        callbacks = [
            reference := ReferenceKL(**options),
            seen := Divergences(),
            PolicyCheckpoint(tmp_path, every_n_steps=1),
        ]
        trainer = make_trainer(max_steps=updates, callbacks=callbacks)
        trainer.fit(module, datamodule=data, ckpt_path=tmp_path / "last.ckpt" if resume else None, weights_only=False)
        return seen.seen, reference

    return run


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_divergence_is_zero_before_the_first_update_and_not_after(
    schooled: VLMPolicy, fit: Callable[..., Any], temperature: float
) -> None:
    divergences, _ = fit(schooled, 3, temperature=temperature)
    assert divergences[0] == pytest.approx(0, abs=1e-6)
    assert all(divergence > 1e-5 for divergence in divergences[1:])


def equal(kept: FrozenWeights | None, policy: VLMPolicy) -> bool:
    assert kept is not None
    return all(
        torch.equal(kept.values[name], parameter)
        for name, parameter in policy.named_parameters()
        if name in kept.values
    )


def test_the_reference_never_changes_and_holds_what_is_trained_alone(
    schooled: VLMPolicy, fit: Callable[..., Any]
) -> None:
    _, callback = fit(schooled, 2)
    assert equal(callback.weights, schooled)
    trained = {name for name, _ in schooled.named_parameters() if ".visual." not in name}
    assert set(callback.weights.values) == trained  # the vision tower, which has no learning rate, is there once


@pytest.fixture
def other(schooled: VLMPolicy, nano: VLMPolicy) -> VLMPolicy:
    """A policy whose trained weights are others; its vision tower, which is frozen, is the same."""
    policy = copy.deepcopy(nano)
    policy.vision_tower.load_state_dict(schooled.vision_tower.state_dict())
    return policy


def test_a_resumed_run_keeps_the_reference_it_began_with(
    schooled: VLMPolicy, other: VLMPolicy, fit: Callable[..., Any]
) -> None:
    fit(schooled, 2)
    divergences, callback = fit(other, 3, resume=True)
    assert len(divergences) == 1
    assert divergences[0] > 1e-5
    assert equal(callback.weights, schooled)


def test_a_reference_that_is_made_again_gives_the_same_divergence_and_does_not_travel(
    schooled: VLMPolicy, fit: Callable[..., Any], tmp_path: Path
) -> None:
    fit(schooled, 2, in_checkpoint=False)
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)["callbacks"]["ReferenceKL"]
    assert not any(isinstance(value, torch.Tensor) for value in state["summary"].values())
    assert "reference" not in state
    resumed, callback = fit(schooled, 3, resume=True, in_checkpoint=False)
    assert equal(callback.weights, schooled)
    straight, _ = fit(schooled, 3, in_checkpoint=False)
    assert resumed == [straight[2]]


def test_a_reference_that_cannot_be_made_again_is_refused(
    schooled: VLMPolicy, other: VLMPolicy, fit: Callable[..., Any]
) -> None:
    fit(schooled, 1, in_checkpoint=False)
    with pytest.raises(UserError, match="weights of the policy that RL started from have changed"):
        fit(other, 2, resume=True, in_checkpoint=False)


def test_on_the_processors_side_it_is_the_same_reference(schooled: VLMPolicy, fit: Callable[..., Any]) -> None:
    beside, _ = fit(schooled, 3)
    apart, _ = fit(schooled, 3, kind="cpu")
    assert apart == beside


def test_an_average_follows_the_policy_at_its_pace(schooled: VLMPolicy, fit: Callable[..., Any]) -> None:
    beside, _ = fit(schooled, 3)
    still, _ = fit(schooled, 3, kind="ema", decay=1.0)
    assert still == beside
    near, _ = fit(schooled, 3, kind="ema", decay=0.0)  # the policy itself, of which the divergence is none
    assert near == pytest.approx([0, 0, 0], abs=1e-6)


def test_an_average_is_the_sum_of_the_weights_by_their_age(schooled: VLMPolicy) -> None:
    policy = copy.deepcopy(schooled)
    average = FrozenWeights(policy)
    name, weight = next((n, p) for n, p in policy.named_parameters())
    first = weight.detach().clone()
    for _ in range(2):
        with torch.no_grad():
            weight.add_(1.0)
        average.move_towards(policy, 0.75)
    # 0.75 x (0.75 x 0 + 0.25 x 1) + 0.25 x 2 above where it began.
    torch.testing.assert_close(average.values[name], first + 0.6875)


def test_an_average_in_float32_of_weights_in_16_bits_is_not_rounded_where_it_scores(schooled: VLMPolicy) -> None:
    policy = copy.deepcopy(schooled).to(torch.bfloat16)
    average = FrozenWeights(policy, dtype=torch.float32)
    own = {name: parameter.detach().clone() for name, parameter in policy.named_parameters()}
    for value in average.values.values():
        value.mul_(1.0101)
    before = {name: value.clone() for name, value in average.values.items()}
    with average.policy(policy) as averaged:
        changed = [not torch.equal(own[name], parameter) for name, parameter in averaged.named_parameters()]
    assert any(changed)
    assert all(torch.equal(average.values[name], value) for name, value in before.items())
    assert all(torch.equal(own[name], parameter) for name, parameter in policy.named_parameters())


def test_an_average_travels_in_the_checkpoint(schooled: VLMPolicy, fit: Callable[..., Any]) -> None:
    fit(schooled, 2, kind="ema", decay=0.5, in_checkpoint=False)
    resumed, _ = fit(schooled, 3, resume=True, kind="ema", decay=0.5, in_checkpoint=False)
    straight, _ = fit(schooled, 3, kind="ema", decay=0.5, in_checkpoint=False)
    assert resumed == [straight[2]]
