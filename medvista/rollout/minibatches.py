"""One update's rows, split into minibatches: the same ones on any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from medvista.ranks import gathered, rank
from medvista.rollout.experience import ExperienceBatch


def minibatches(batch: ExperienceBatch, count: int, generator: torch.Generator) -> Iterator[ExperienceBatch]:
    """Splits the rows of all processes, shuffled, into `count` parts of nearly equal size, and gives this one's share.

    Rows without loss are left out. A process without a row in a part gets one that carries no loss: each has to take
    the same number of optimiser steps.

    Args:
        batch: this process's rows; ``groups`` says which of the update's they are.
        count: how many parts.
        generator: of the shuffle, in the same state in every process.
    """
    if count == 1:
        yield batch
        return
    for rows in _own_rows(batch, count, generator):
        yield batch.select(rows) if rows else batch.select([0]).without_loss()


def _own_rows(batch: ExperienceBatch, count: int, generator: torch.Generator) -> list[list[int]]:
    learned_from = batch.loss_mask.any(dim=1).nonzero().flatten().tolist()
    own = [(int(batch.groups[row]), rank(), row) for row in learned_from]
    rows = sorted(row for share in gathered(own) for row in share)
    order = torch.randperm(len(rows), generator=generator)
    parts = [[rows[index] for index in part] for part in order.tensor_split(count)]
    return [[row for _, owner, row in part if owner == rank()] for part in parts]
