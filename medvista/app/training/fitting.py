"""Lightning's `Trainer.fit`, with the interruption of a run left to us."""

from __future__ import annotations

import signal
from typing import Any

import lightning


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, *loaders: Any, **options: Any) -> None:
    """Trains; Ctrl-C raises `KeyboardInterrupt` as it does everywhere else.

    Lightning 2.6 would exit with code 1, after telling the process to ignore further interrupts.
    """
    try:
        trainer.fit(module, *loaders, **options)
    except SystemExit as exited:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from exited
