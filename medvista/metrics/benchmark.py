"""The numbers of a benchmark, as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from medvista.metrics.scoring import BenchmarkScoring, scoring_for
from medvista.types import VQASample


class BenchmarkScores(Metric):
    """The mean of every measure of a benchmark, summed over processes.

    Args:
        scoring: of the benchmark, or its name.

    >>> sample = VQASample(
    ...     id="1",
    ...     benchmark="slake",
    ...     split="test",
    ...     question="Which lung?",
    ...     answers=("left lung",),
    ...     images=(),
    ...     group_id="1",
    ... )
    >>> scores = BenchmarkScores("slake")
    >>> scores.update(["the left lung", "lung"], [sample, sample])
    >>> {name: float(value) for name, value in scores.compute().items() if name in ("accuracy", "open_recall")}
    {'accuracy': 0.5, 'open_recall': 0.75}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    sums: Tensor  # [M] one a measure
    questions: Tensor  # [M] how many questions it applied to

    def __init__(self, scoring: BenchmarkScoring | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scoring = scoring_for(scoring) if isinstance(scoring, str) else scoring
        count = len(self.scoring.measures)
        self.add_state("sums", torch.zeros(count, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("questions", torch.zeros(count, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[str | None], samples: Sequence[VQASample]) -> None:
        """Add some questions and what was answered, None where nothing was, ``[N]`` each."""
        scores = np.stack(list(self.scoring.score(predictions, samples).values()))  # [M, N]
        self.sums += torch.from_numpy(np.nansum(scores, axis=1)).to(self.sums)
        self.questions += torch.from_numpy((~np.isnan(scores)).sum(axis=1)).to(self.questions)

    def compute(self) -> dict[str, Tensor]:
        """Each mean by its measure's name; a measure that applied to no question is left out."""
        names = [measure.name for measure in self.scoring.measures]
        means = (self.sums / self.questions).float()
        return {name: means[i] for i, name in enumerate(names) if self.questions[i]}
