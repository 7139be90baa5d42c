"""A stage that is asked to end saves the step it has just finished, and ends.

A step that a validation follows is not saved, since a run that goes on behind it would leave that validation out.
"""

from __future__ import annotations

from typing import Any

import lightning

from medvista.app.sigterm import is_asked_to_end, take_sigterm
from medvista.callbacks import PolicyCheckpoint
from medvista.callbacks.policy_checkpoint import validates_next
from medvista.errors import Terminated
from medvista.ranks import gathered


class SaveAndEnd(lightning.Callback):
    """Looks after each step whether any process was asked to end; then all save together."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Takes SIGTERM back from Lightning whenever that lays its own handler over it, which is after this hook."""
        connector = trainer._signal_connector
        lay = type(connector).register_signal_handlers

        def lay_and_take_back() -> None:
            lay(connector)
            take_sigterm()

        connector.register_signal_handlers = lay_and_take_back  # type: ignore[method-assign]

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Between two steps, where a checkpoint is exact."""
        if validates_next(trainer) or not any(gathered(is_asked_to_end())):
            return
        for checkpoint in trainer.checkpoint_callbacks:
            if isinstance(checkpoint, PolicyCheckpoint):
                checkpoint.save_now(trainer)
        raise Terminated

    def on_validation_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """In a validation, which may be long, nothing is saved: the steps behind the checkpoint are made again."""
        if any(gathered(is_asked_to_end())):
            raise Terminated
