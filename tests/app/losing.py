"""A run that loses a process in the middle of RL: ``losing.py RANK HOW key=value ...``; HOW is raise, kill or stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from medvista.app.commands.run import main
from medvista.modules import GRPOModule
from medvista.ranks import rank

learn = GRPOModule.training_step


def training_step(self: GRPOModule, batch: Any, batch_idx: int) -> None:
    """Ends this process at the second update, if it is the one."""
    lost, how = int(sys.argv[1]), sys.argv[2]
    if rank() == lost and batch_idx == 1:
        if how == "raise":
            raise RuntimeError("out of luck")
        os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
    learn(self, batch, batch_idx)


if __name__ == "__main__":
    GRPOModule.training_step = training_step  # type: ignore[method-assign]
    sys.exit(main(sys.argv[3:]))
