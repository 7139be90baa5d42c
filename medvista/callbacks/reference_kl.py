"""The reference policy of the KL term."""

from __future__ import annotations

from typing import Any, cast

import lightning
import torch

from medvista.policies import VLMPolicy
from medvista.policies.frozen_copy import FrozenCopy
from medvista.rollout.experience import ExperienceBatch


class ReferenceKL(lightning.Callback):
    """Keeps a frozen copy of the policy as it was when training began, and scores every batch with it.

    The copy travels in the checkpoint, since a resumed run starts from other weights than the reference.
    """

    def __init__(self) -> None:
        self.reference: FrozenCopy | None = None
        self._loaded: dict[str, Any] | None = None

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copies the policy, or takes the reference of the interrupted run."""
        self.reference = FrozenCopy(cast(VLMPolicy, pl_module.policy))
        if self._loaded is not None:
            self.reference.load_state_dict(self._loaded)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: ExperienceBatch, batch_idx: int) -> None:
        """Fills ``reference_log_probs``."""
        assert self.reference is not None
        with torch.no_grad(), trainer.precision_plugin.forward_context(), self.reference.policy() as reference:
            batch.reference_log_probs, _ = batch.log_probs(reference, temperature=pl_module.temperature)

    def state_dict(self) -> dict[str, Any]:
        """The reference's weights."""
        return {} if self.reference is None else {"reference": self.reference.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembers the weights of the interrupted run's reference."""
        self._loaded = state_dict.get("reference")
