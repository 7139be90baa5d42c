"""What episodes show, as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from medvista.functional.episodes import COUNTS, episode_counts, rates
from medvista.types import Trajectory


class TrajectoryMetrics(Metric):
    """Accuracy, use of tools, hits on annotated regions, lengths and reward of episodes; summed over processes.

    The names are those of `medvista.functional.episodes.rates`. A rate of nothing (the share of failed calls where
    there was no call) is left out of what `compute` gives.
    """

    is_differentiable = False
    full_state_update = False

    counts: Tensor  # [len(COUNTS) - 1], integers, so that they stay exact however long the evaluation
    reward: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(len(COUNTS) - 1, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("reward", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, trajectories: Sequence[Trajectory]) -> None:
        """Add finished episodes."""
        for trajectory in trajectories:
            *counts, reward = (episode_counts(trajectory)[name] for name in COUNTS)
            self.counts += torch.tensor([int(count) for count in counts], device=self.device)
            self.reward += reward

    def compute(self) -> dict[str, Tensor]:
        """Each rate by its name; empty before any episode."""
        totals = dict(zip(COUNTS, [*self.counts.tolist(), self.reward.item()], strict=True))
        return {name: torch.tensor(rate, device=self.device) for name, rate in rates(totals).items()}
