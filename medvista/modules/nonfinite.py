"""Optimiser steps whose gradient is not finite: left out and counted; too many in a row end the stage.

One NaN in a gradient is a NaN in every weight after the step and in each checkpoint after that, and the report then has
an accuracy that says nothing of the reason.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medvista.errors import UserError
from medvista.notices import notice


class NonfiniteSteps:
    """Decides on each step by the norm of its gradient, which all processes share.

    Args:
        most: steps in a row that may be left out.
    """

    def __init__(self, most: int = 10) -> None:
        self.most = most
        self.in_a_row = 0

    def leave_out(self, norm: Tensor, optimizer: torch.optim.Optimizer, where: str) -> bool:
        """Whether the step is left out; then the optimiser has no gradient to step with, and changes nothing.

        Args:
            norm: of the gradient, before clipping.
            optimizer: about to step.
            where: the stage and the step, for the notice.

        Raises:
            UserError: more than `most` steps in a row would be left out.
        """
        if bool(torch.isfinite(norm)):
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        notice("optimiser steps whose loss or gradient was not finite were left out", where)
        if self.in_a_row > self.most:
            raise UserError(
                f"{where}: loss or gradient was not finite in {self.in_a_row} steps in a row, more than "
                f"trainer.max_nonfinite_steps={self.most}; the weights are those before. Lower the learning rate or "
                "raise its warmup_steps, or take trainer.precision=32-true or bf16-mixed, and go on with resume=stages."
            )
        optimizer.zero_grad(set_to_none=True)
        return True
