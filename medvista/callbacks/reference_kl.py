"""The reference policy of the KL term."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import lightning
import torch

from medvista.errors import UserError
from medvista.policies import VLMPolicy
from medvista.policies.adapters import adapters_off, are_fresh, has_adapters
from medvista.policies.evaluation_mode import evaluation_mode
from medvista.policies.frozen_weights import FrozenWeights, differing
from medvista.policies.sharding import gathered
from medvista.rollout.experience import ExperienceBatch
from medvista.settings import ReferenceKind


class ReferenceKL(lightning.Callback):
    """Scores every batch with the policy as it was when training began, or with an average of what it has been since.

    The policy scores with the reference's weights in the place of its own, so only what is trained is kept twice. Under
    adapters that began with SFT this is the SFT policy: the same base weights, with the adapters as they were.

    Args:
        kind: see ``rl.reference`` of the configuration.
        decay: share of the old average that an update keeps, of ``"ema"``.
        in_checkpoint: whether the weights travel in the checkpoint. False where a resumed run is handed the same policy
            to start from again: then they are taken from it, and checked. An average always travels.

    Raises:
        UserError: ``"adapters_off"`` without adapters, or with ones that were trained before: the reference would be
            the bare base model; or a resumed run was handed another policy.
    """

    def __init__(self, kind: ReferenceKind = "copy", *, decay: float = 0.99, in_checkpoint: bool = True) -> None:
        self.kind, self.decay = kind, decay
        self.in_checkpoint = in_checkpoint or kind == "ema"
        self.weights: FrozenWeights | None = None
        self._policy: VLMPolicy | None = None  # that is trained
        self._loaded: dict[str, Any] = {}

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Remembers the policy before a checkpoint is loaded into it."""
        if stage == "fit" and not trainer.strategy.restore_checkpoint_after_setup:
            self._remember(cast(VLMPolicy, pl_module.policy))

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Takes the reference of the interrupted run, where it travelled."""
        self._policy = policy = cast(VLMPolicy, pl_module.policy)
        if trainer.strategy.restore_checkpoint_after_setup:  # the weights were shared out only now
            self._remember(policy)
        if self.weights is not None:
            self.weights.to_weights(policy)
            self._resume(self.weights, policy)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: ExperienceBatch, batch_idx: int) -> None:
        """Fills ``reference_log_probs``."""
        begun, policy = time.perf_counter(), cast(VLMPolicy, pl_module.policy)
        precision = trainer.precision_plugin.forward_context()
        with torch.no_grad(), evaluation_mode(policy), precision, self._reference(policy) as reference:
            batch.reference_log_probs, _ = batch.log_probs(
                reference, temperature=pl_module.temperature, share_prompts=pl_module.share_prompts
            )
        batch.stats = {**(batch.stats or {}), "speed/reference_seconds": time.perf_counter() - begun}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves an average towards the policy."""
        if self.kind == "ema" and self.weights is not None:
            self.weights.move_towards(pl_module.policy, self.decay)

    def state_dict(self) -> dict[str, Any]:
        """The reference's weights, or a number for each, by which they are known again. A collective step."""
        if self.weights is None or self._policy is None:
            return {}
        if self.in_checkpoint:
            return {"reference": self.weights.state_dict(self._policy)}
        return {"summary": self.weights.summary(self._policy)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembers what the interrupted run kept of its reference."""
        self._loaded = state_dict
        if self.weights is not None and self._policy is not None:  # the strategy loads checkpoints after the start
            self._resume(self.weights, self._policy)

    def _remember(self, policy: VLMPolicy) -> None:
        if self.kind == "adapters_off":
            _check_fresh(policy)
        else:
            device = torch.device("cpu") if self.kind == "cpu" else None
            # In 16 bits an average would lose what each update adds to it.
            self.weights = FrozenWeights(policy, device, torch.float32 if self.kind == "ema" else None)

    def _resume(self, weights: FrozenWeights, policy: VLMPolicy) -> None:
        if (kept := self._loaded.get("reference")) is not None:
            weights.load_state_dict(kept, policy)
        elif (summary := self._loaded.get("summary")) and (others := differing(weights.summary(policy), summary)):
            raise UserError(
                f"the reference of this run cannot be made again: {len(others)} weights of the policy that RL started "
                f"from have changed since ({others[0]}, ...); train that stage and RL again (resume=stages)."
            )

    @contextmanager
    def _reference(self, policy: VLMPolicy) -> Iterator[VLMPolicy]:
        if self.weights is not None:
            with self.weights.policy(policy) as reference:
                yield reference
        else:
            with gathered(policy) as reference, adapters_off(reference.model):
                yield reference


def _check_fresh(policy: VLMPolicy) -> None:
    if not has_adapters(policy.model):
        raise UserError("rl.reference=adapters_off needs adapters: set policy.lora.rank, or take rl.reference=copy.")
    if not are_fresh(policy.model):
        raise UserError(
            "rl.reference=adapters_off would compare RL with the bare base model, since its adapters were trained "
            "before: set policy.lora.merge=true, so that RL starts with fresh ones, or take rl.reference=copy."
        )
