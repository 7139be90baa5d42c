"""Gradient checkpointing: that it applies to a loaded model, changes no gradient and turns no dropout on."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader
from transformers.modeling_layers import GradientCheckpointingLayer

from benchmarks.live_bytes import LiveBytes
from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.modules.gradient_checkpointing import training_modes
from medvista.policies import VLMPolicy
from medvista.rollout import TokenBatch
from medvista.types import Trajectory


@pytest.fixture
def batch(demonstrations: list[Trajectory]) -> TokenBatch:
    return TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])


@pytest.fixture
def loaded(nano: VLMPolicy, tmp_path: Path) -> VLMPolicy:
    """As `from_pretrained` leaves a policy: in evaluation mode."""
    nano.save_pretrained(tmp_path)
    policy = VLMPolicy.from_pretrained(tmp_path)
    assert not policy.model.training
    return policy


def learn(policy: VLMPolicy, batch: TokenBatch, **options: bool) -> tuple[int, list[torch.Tensor]]:
    """Bytes kept from forward to backward, and the gradients."""
    with LiveBytes() as bytes_:
        loss = batch.log_probs(policy, **options)[0].sum()
        kept = bytes_.now
        loss.backward()
    return kept, [p.grad for p in policy.parameters() if p.grad is not None]


def test_a_loaded_policy_keeps_less_for_backward_and_has_the_same_gradients(
    loaded: VLMPolicy, batch: TokenBatch
) -> None:
    checkpointed = copy.deepcopy(loaded)
    training_modes(loaded, checkpointing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # by the name it has in transformers 6
        training_modes(checkpointed, checkpointing=True)
    (kept, gradients), (less, same) = learn(loaded, batch), learn(checkpointed, batch)
    assert less < 0.6 * kept  # of two layers
    assert len(same) == len(gradients) > 10
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, same, strict=True))


def test_prompts_are_shared_when_layers_are_computed_again_too(loaded: VLMPolicy, batch: TokenBatch) -> None:
    siblings = batch.select([0, 0, 1, 0])
    checkpointed = copy.deepcopy(loaded)
    training_modes(checkpointed, checkpointing=True)
    (_, gradients), (_, same) = learn(loaded, siblings), learn(checkpointed, siblings, share_prompts=True)
    assert siblings.shared_prompts(checkpointed) is not None
    largest = max(gradient.abs().max() for gradient in gradients)
    assert all((a - b).abs().max() < 1e-5 * largest for a, b in zip(gradients, same, strict=True))


def test_layers_are_in_training_mode_and_dropout_is_not(loaded: VLMPolicy, batch: TokenBatch) -> None:
    expected, _ = batch.log_probs(loaded)
    for part in loaded.modules():
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = 0.5
    loaded.train()
    assert not torch.allclose(batch.log_probs(loaded)[0], expected)
    training_modes(loaded, checkpointing=True)
    layers = [part for part in loaded.modules() if isinstance(part, GradientCheckpointingLayer)]
    assert len(layers) >= 3
    assert all(layer.training for layer in layers)
    assert torch.equal(batch.log_probs(loaded)[0], expected)


def test_adapters_drop_out_where_told_and_nothing_else_does(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    policy.model.lora_dropout = torch.nn.ModuleDict({"default": torch.nn.Dropout(0.1)})
    for wanted in (True, False):
        training_modes(policy, checkpointing=False, adapter_dropout=wanted)
        assert policy.model.lora_dropout["default"].training == wanted
        assert not policy.model.model.training


class Modes(lightning.Callback):
    """Which layers are in training mode when a step begins."""

    def __init__(self) -> None:
        self.seen: list[set[bool]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        layers = [part for part in pl_module.modules() if isinstance(part, GradientCheckpointingLayer)]
        self.seen.append({layer.training and layer.gradient_checkpointing for layer in layers})


@pytest.mark.parametrize("wanted", [True, False])
def test_a_module_checkpoints_where_it_is_told_to(
    loaded: VLMPolicy, batch: TokenBatch, make_trainer: Callable[..., lightning.Trainer], wanted: bool
) -> None:
    module = SFTModule(loaded, OptimiserConfig(), total_steps=1, gradient_checkpointing=wanted)
    trainer = make_trainer(max_steps=1, callbacks=[modes := Modes()])
    trainer.fit(module, train_dataloaders=DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    assert modes.seen == [{wanted}]


def test_a_model_without_it_is_refused_by_name(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    policy.model.supports_gradient_checkpointing = False
    with pytest.raises(UserError, match=r"Qwen3VL.* trainer\.gradient_checkpointing=false"):
        training_modes(policy, checkpointing=True)
