"""Accuracy of answers as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from medvista.functional.text import exact_match


class VQAAccuracy(Metric):
    """Share of questions answered correctly, by `medvista.functional.text.exact_match`; summed over processes.

    >>> accuracy = VQAAccuracy()
    >>> accuracy.update(["Yes.", None, "(B)"], [["yes"], ["no"], ["lung"]], [(), (), ("heart", "lung")])
    >>> accuracy.compute()
    tensor(0.6667)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    correct: Tensor
    total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        predictions: Sequence[str | None],
        answers: Sequence[Sequence[str]],
        choices: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Add some questions.

        Args:
            predictions: what was answered, None where nothing was, ``[N]``.
            answers: accepted answers of each question, ``[N]``.
            choices: options of each question, empty where it has none, ``[N]``; None when no question has any.
        """
        options = choices if choices is not None else [()] * len(answers)
        rows = zip(predictions, answers, options, strict=True)
        self.correct += sum(exact_match(*row) for row in rows)
        self.total += len(predictions)

    def compute(self) -> Tensor:
        """The share of right answers; NaN before any question."""
        return self.correct / self.total
