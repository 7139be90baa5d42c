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
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import VLMPolicy
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
        policy: VLMPolicy, updates: int, resume: bool = False, temperature: float = 1.0
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
        callbacks = [reference := ReferenceKL(), seen := Divergences(), PolicyCheckpoint(tmp_path, every_n_steps=1)]
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


def test_the_reference_never_changes_and_takes_no_gradient(schooled: VLMPolicy, fit: Callable[..., Any]) -> None:
    _, callback = fit(schooled, 2)
    with callback.reference.policy() as reference:
        assert not reference.training
        assert not any(parameter.requires_grad for parameter in reference.parameters())
        assert all(torch.equal(a, b) for a, b in zip(reference.parameters(), schooled.parameters(), strict=True))


def test_a_resumed_run_keeps_the_reference_it_began_with(
    schooled: VLMPolicy, nano: VLMPolicy, fit: Callable[..., Any]
) -> None:
    fit(schooled, 2)
    divergences, callback = fit(nano, 3, resume=True)  # a policy of other weights, as a resumed run builds it
    assert len(divergences) == 1
    assert divergences[0] > 1e-5
    with callback.reference.policy() as reference:
        kept = zip(reference.parameters(), schooled.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in kept)
