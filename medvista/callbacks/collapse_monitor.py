"""Watches reinforcement learning for collapse, and says what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning

from medvista.data.trajectories import write_trajectories
from medvista.errors import UserError
from medvista.functional.collapse import symptoms
from medvista.notices import notice
from medvista.ranks import leads, totals
from medvista.rollout import ExperienceBatch
from medvista.types import ParseError, Trajectory

_WATCHED = ("accuracy", "reward", "tool_rate", "tool_calls_mean", "parse_error_rate", "tokens_mean")
_NAMED = 3  # episodes in a sentence


class CollapseMonitor(lightning.Callback):
    """Warns once of each symptom of `medvista.functional.collapse`, with the episodes of the update that show it.

    Args:
        folder: where those episodes are saved, ``collapse.jsonl``.
        weights: of the reward terms.
        stop: whether a symptom ends the stage.
        window: see `symptoms`.
    """

    def __init__(self, folder: Path, weights: Mapping[str, float], *, stop: bool = False, window: int = 5) -> None:
        self.folder = folder
        self.weights = weights
        self.stop = stop
        self.window = window
        self.history: list[dict[str, float]] = []  # of every update
        self.told: list[str] = []  # symptoms that were warned of
        self.sentences: list[str] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: ExperienceBatch, batch_idx: int
    ) -> None:
        """Adds what the update showed, in every process alike, and judges the course."""
        logged = trainer.callback_metrics
        numbers = {name: float(logged[f"rollout/{name}"]) for name in _WATCHED if f"rollout/{name}" in logged}
        terms = {
            f"term/{name}": weight * float(logged[f"reward/{name}"])
            for name, weight in self.weights.items()
            if f"reward/{name}" in logged
        }
        entropy = totals({"entropy": float(logged["train/entropy"]), "processes": 1})
        numbers |= terms | {"entropy": entropy["entropy"] / entropy["processes"]} | _advantages(batch)
        advantages = {name: value for name, value in numbers.items() if name.startswith("advantage")}
        pl_module.log_dict({f"monitor/{name}": value for name, value in advantages.items()})
        self.history.append(numbers)
        for symptom in symptoms(self.history, self.window):
            if symptom.name not in self.told:
                self.told.append(symptom.name)
                self._say(symptom.name, symptom.sentence, batch, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """The course so far."""
        return {"history": self.history, "told": self.told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with it."""
        self.history, self.told = list(state_dict["history"]), list(state_dict["told"])

    def _say(self, name: str, sentence: str, batch: ExperienceBatch, step: int) -> None:
        shown = [episode for episode in batch.trajectories if _SHOWN_BY.get(name, _any)(episode)]
        where = ", ".join(f"{episode.sample.id} (seed {episode.seed})" for episode in shown[:_NAMED])
        told = f"{name} at step {step}: {sentence}." + (f" Seen in {where}." if where else "")
        self.sentences.append(told)
        notice(f"{name}: {sentence}" + (f" (seen in {where})" if where else ""), f"step {step}")
        if leads():
            write_trajectories(self.folder / "collapse.jsonl", shown[:_NAMED], append=True)
        if self.stop:
            raise UserError(f"{told} Training stopped: rl.monitor=warn goes on.")


def _advantages(batch: ExperienceBatch) -> dict[str, float]:
    """Mean advantage of the episodes with and without a call; none where there is no such episode."""
    assert batch.advantages is not None
    tokens_N = batch.loss_mask.sum(dim=1).clamp_min(1)
    of_rows = ((batch.advantages * batch.loss_mask).sum(dim=1) / tokens_N).tolist()
    sums = dict.fromkeys(("with_call", "without_call", "n_with_call", "n_without_call"), 0.0)
    for episode, advantage in zip(batch.trajectories, of_rows, strict=True):
        kind = "with_call" if episode.tool_turns else "without_call"
        sums[kind] += advantage
        sums[f"n_{kind}"] += 1
    sums = totals(sums)
    return {
        f"advantage_{kind}": sums[kind] / sums[f"n_{kind}"]
        for kind in ("with_call", "without_call")
        if sums[f"n_{kind}"]
    }


def _any(episode: Trajectory) -> bool:
    return True


_SHOWN_BY: Mapping[str, Callable[[Trajectory], bool]] = {
    "tool collapse": lambda episode: not episode.tool_turns,
    "tool spam": lambda episode: len(episode.tool_turns) > 1,
    "parse failures": lambda episode: any(isinstance(turn.action, ParseError) for turn in episode.turns),
}
