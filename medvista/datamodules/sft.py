"""Demonstrations as token streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from medvista.data.sampler import ResumableSampler, SharedBatches
from medvista.datamodules.validation import CollectorFactory, RolloutValidationDataModule
from medvista.errors import UserError
from medvista.ranks import rank, world_size
from medvista.rollout.experience import TokenBatch
from medvista.types import TokenStream, VQASample


class SFTDataModule(RolloutValidationDataModule):
    """Serves demonstrations in shuffled batches that mix all kinds, and validates by rollouts.

    Args:
        streams: the demonstrations, rendered as a rollout would have made them (`tokenize_trajectory`).
        make_collector: see `RolloutValidationDataModule`.
        validation: see `RolloutValidationDataModule`.
        batch_size: demonstrations per step, of all processes together.
        seed: of the shuffles.
        order: of the demonstrations, over all processes; by default each once per epoch, shuffled.
        max_new_tokens: of one validation turn.
    """

    def __init__(
        self,
        streams: Sequence[TokenStream],
        make_collector: CollectorFactory,
        validation: Mapping[str, Sequence[VQASample]],
        *,
        batch_size: int,
        seed: int,
        max_new_tokens: int,
        order: ResumableSampler | None = None,
    ) -> None:
        super().__init__(make_collector, validation, max_new_tokens=max_new_tokens)
        if not streams:
            raise UserError("there is no demonstration to train on; check sft.demonstrations and the expert's filters.")
        self.streams = streams
        self.batch_size = min(batch_size, len(streams))
        self.seed = seed
        self._order = order
        self._sampler: ResumableSampler | None = None
        self._position = 0

    def train_dataloader(self) -> DataLoader[TokenBatch]:
        """Token batches without end; the trainer's ``max_steps`` stops it."""
        shuffled = ResumableSampler(len(self.streams), seed=self.seed, endless=True)
        self._sampler = shuffled if self._order is None else self._order
        self._sampler.position = self._position
        return DataLoader(
            self.streams,  # type: ignore[arg-type]
            batch_sampler=SharedBatches(self._sampler, self.batch_size, rank=rank(), world_size=world_size()),
            collate_fn=self._collate,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Counts a used training batch; plays validation questions."""
        if isinstance(batch, TokenBatch) and self._sampler is not None:
            self._sampler.advance(self.batch_size)
            self._position = self._sampler.position
        return super().on_after_batch_transfer(batch, dataloader_idx)

    def _collate(self, share: Sequence[TokenStream]) -> TokenBatch:
        """A process without a demonstration takes the step, too, with one that carries no loss."""
        if share:
            return TokenBatch.from_streams(share)
        stand_in = TokenBatch.from_streams(self.streams[:1])
        return replace(stand_in, loss_mask=torch.zeros_like(stand_in.loss_mask))

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream of demonstrations, over all ranks."""
        return {"position": self._position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on after the demonstrations already used."""
        self._position = state_dict["position"]
