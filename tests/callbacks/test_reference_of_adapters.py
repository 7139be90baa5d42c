"""With adapters, RL's reference is the policy it started from: the SFT policy, never the bare base model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch

from medvista.callbacks import ReferenceKL
from medvista.datamodules import RolloutDataModule
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import VLMPolicy, merge_adapters
from medvista.policies.adapters import add_adapters
from medvista.rollout import RolloutCollector
from medvista.settings import LoRAConfig
from medvista.types import VQASample

pytest.importorskip("peft")


class References(lightning.Callback):
    """Holds the reference of every update against a policy's own log-probabilities."""

    def __init__(self, expected: VLMPolicy) -> None:
        self.expected = expected
        self.gaps: list[float] = []
        self.engine_gaps: list[float] = []

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        scores, _ = batch.log_probs(self.expected, temperature=pl_module.temperature)
        self.gaps.append((scores - batch.reference_log_probs).abs().max().item())
        self.engine_gaps.append(trainer.callback_metrics["train/engine_gap"].item())


@pytest.fixture
def of_sft(schooled: VLMPolicy) -> VLMPolicy:
    """A policy whose adapters were trained: it says something else than its base model."""
    policy = copy.deepcopy(schooled)
    policy.model = add_adapters(policy.model, LoRAConfig(rank=4))
    torch.manual_seed(1)
    for name, parameter in policy.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return policy.eval()


@pytest.fixture
def fit(
    questions: list[VQASample],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
) -> Callable[..., None]:
    def run(policy: VLMPolicy, *callbacks: lightning.Callback) -> None:
        optimiser = OptimiserConfig(learning_rate=1e-2, warmup_steps=0)
        module = GRPOModule(policy, GRPOConfig(), optimiser, total_steps=2)
        data = RolloutDataModule(questions, always_uneven, {}, prompts=3, group_size=3, updates=2, max_new_tokens=16)
        make_trainer(max_steps=2, callbacks=list(callbacks)).fit(module, datamodule=data)

    return run


def test_it_is_the_sft_policy_and_only_adapters_move(
    of_sft: VLMPolicy, schooled: VLMPolicy, fit: Callable[..., None]
) -> None:
    policy = copy.deepcopy(of_sft)
    reference, to_sft, to_base = ReferenceKL(), References(of_sft), References(schooled)
    fit(policy, reference, to_sft, to_base)
    assert to_sft.gaps == pytest.approx([0, 0], abs=1e-6)
    assert min(to_base.gaps) > 0.01
    assert max(to_sft.engine_gaps) < 1e-4
    before = dict(of_sft.named_parameters())
    moved = {name for name, parameter in policy.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if ".lora_" in name}
    assert reference.weights is not None
    assert set(reference.weights.values) == moved  # the copy is of the adapters alone


def test_with_adapters_off_after_a_merge_it_is_the_sft_policy_too(of_sft: VLMPolicy, fit: Callable[..., None]) -> None:
    policy = copy.deepcopy(of_sft)
    merge_adapters(policy.model)
    policy.model = add_adapters(policy.model, LoRAConfig(rank=2))
    to_sft = References(of_sft)
    fit(policy.eval(), reference := ReferenceKL("adapters_off"), to_sft)
    assert to_sft.gaps == pytest.approx([0, 0], abs=1e-4)  # a merge rounds
    assert reference.weights is None
    assert any(bool(p.any()) for name, p in policy.named_parameters() if ".lora_B." in name)


def test_adapters_off_is_refused_where_it_would_be_the_bare_base_model(
    of_sft: VLMPolicy, schooled: VLMPolicy, fit: Callable[..., None]
) -> None:
    with pytest.raises(UserError, match="would compare RL with the bare base model"):
        fit(copy.deepcopy(of_sft), ReferenceKL("adapters_off"))
    with pytest.raises(UserError, match="adapters_off needs adapters"):
        fit(copy.deepcopy(schooled), ReferenceKL("adapters_off"))
