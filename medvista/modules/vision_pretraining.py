"""The pre-stage of a base model made here: its vision tower learns to see before the policy learns to act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import lightning
import torch
from torch import Tensor, nn

from medvista.data.phantom_views import CLASSES
from medvista.policies.vlm_policy import VLMPolicy


class LabelledViews(NamedTuple):
    """A batch of views and what each of their visual tokens shows; labels are ``[views, tokens]``."""

    images: Mapping[str, Tensor]  # collated
    classes: Tensor
    columns: Tensor
    rows: Tensor


class VisionPretrainingModule(lightning.LightningModule):
    """Dense supervision of every visual token: what it shows and, for an overview's nodule, where.

    Args:
        policy: whose vision tower and projector are trained; the language model is untouched.
        grid: cells along a side of the expert's grid.
        learning_rate: peak of a one-cycle schedule.
        total_steps: optimiser steps of the schedule.
    """

    class_weights: Tensor  # [classes]
    place_weights: Tensor  # [grid + 1]

    def __init__(self, policy: VLMPolicy, *, grid: int, learning_rate: float, total_steps: int) -> None:
        super().__init__()
        self.policy = policy
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        width = policy.model.config.get_text_config().hidden_size
        self.grid = grid
        # "No nodule here" is a place of its own. If only tokens with a nodule were told their place, the others would
        # carry any, and the text model would have to learn to attend before it could learn where to look.
        self.heads = nn.ModuleList([nn.Linear(width, n) for n in (len(CLASSES), grid + 1, grid + 1)])
        # Few tokens show anything: unweighted, the tower would learn "nothing" and stop.
        rare = torch.tensor(0.02)
        self.register_buffer("class_weights", torch.ones(len(CLASSES)).index_fill(0, torch.tensor(0), rare))
        self.register_buffer("place_weights", torch.ones(grid + 1).index_fill(0, torch.tensor(grid), rare))

    def forward(self, images: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Logits of class, column and row, ``[tokens, ...]`` each, of all images one behind the other."""
        tokens = self.policy.family.features(self.policy.body, images)
        return tuple(head(tokens) for head in self.heads)

    def training_step(self, batch: LabelledViews, batch_idx: int) -> Tensor:
        """Cross-entropy of the three heads."""
        logits = self(batch.images)
        targets = [batch.classes.flatten(), batch.columns.flatten(), batch.rows.flatten()]
        loss = nn.functional.cross_entropy(logits[0], targets[0], weight=self.class_weights)
        for scores, target in zip(logits[1:], targets[1:], strict=True):
            loss = loss + 0.3 * nn.functional.cross_entropy(scores, target, weight=self.place_weights)
        self.log("vision/loss", loss, prog_bar=True, batch_size=len(batch.classes))
        return loss

    def validation_step(self, batch: LabelledViews, batch_idx: int) -> None:
        """Share of shown objects named right, and of overview nodules placed within one cell."""
        classes, columns, rows = self(batch.images)
        target = batch.classes.flatten()
        shown = target > 1  # a kind or a material
        self.log("vision/val_accuracy", _mean(classes.argmax(-1)[shown] == target[shown]), batch_size=int(shown.sum()))
        places = batch.columns.flatten(), batch.rows.flatten()
        at = places[0] != self.grid
        near = (columns.argmax(-1) - places[0]).abs().le(1) & (rows.argmax(-1) - places[1]).abs().le(1)
        self.log("vision/val_localised", _mean(near[at]), batch_size=max(int(at.sum()), 1), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW on all that lies between a picture and the language model, and on the heads; one cycle."""
        body = self.policy.body.named_parameters()
        seeing = [parameter for name, parameter in body if not name.startswith("language_model.")]
        parameters = [*seeing, *self.heads.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _mean(hits: Tensor) -> Tensor:
    return hits.float().mean() if hits.numel() else torch.tensor(0.0, device=hits.device)
