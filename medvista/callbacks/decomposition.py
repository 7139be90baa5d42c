"""Whether a policy learns to use its tools or to do without: MED's decomposition at every validation."""

from __future__ import annotations

from typing import Any

import lightning

from medvista.functional.decomposition import BLANKED, COUNTS, WITHOUT_TOOLS, answer_counts, decomposition
from medvista.functional.episodes import correct
from medvista.ranks import totals
from medvista.rollout import TrajectoryBatch

_Counts = dict[str, float]


class Decomposition(lightning.Callback):
    """Logs ``val/<benchmark>/decomposition/<share>`` of `medvista.functional.decomposition`.

    It needs a datamodule that plays the controls `WITHOUT_TOOLS` and `BLANKED`. What is gained since the start is told
    by the validation before the first step; a stage that goes on knows that from its checkpoint.
    """

    def __init__(self) -> None:
        self.at_start: dict[str, _Counts] = {}  # benchmark -> counts before the first step
        self._counts: dict[str, _Counts] = {}  # benchmark -> this process's counts in this validation

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts from nothing, so that an interrupted validation leaves no trace."""
        self._counts = {benchmark: dict.fromkeys(COUNTS, 0.0) for benchmark in trainer.datamodule.validation}

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: TrajectoryBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Adds the questions of one batch."""
        counts = list(self._counts.values())[dataloader_idx]
        answers = zip(batch.trajectories, batch.controls[WITHOUT_TOOLS], batch.controls[BLANKED], strict=True)
        for with_tools, without_tools, blanked in answers:
            answered = answer_counts(
                with_tools=correct(with_tools),
                without_tools=correct(without_tools),
                blanked=correct(blanked),
                called=bool(with_tools.tool_turns),
            )
            for name, count in answered.items():
                counts[name] += count

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs the shares over all processes' questions."""
        for benchmark, own in self._counts.items():
            counts = totals(own)
            if trainer.global_step == 0:
                self.at_start[benchmark] = counts
            shares = decomposition(counts, self.at_start.get(benchmark))
            logged = {f"val/{benchmark}/decomposition/{name}": share for name, share in shares.items()}
            pl_module.log_dict(logged, rank_zero_only=False)

    def state_dict(self) -> dict[str, Any]:
        """What the policy could do at the start."""
        return {"at_start": self.at_start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on to compare with that."""
        self.at_start = state_dict["at_start"]
