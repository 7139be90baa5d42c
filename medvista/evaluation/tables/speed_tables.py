"""Where the time of each stage of training went, and what was computed more often than it had to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from medvista.evaluation.tables.arm_tables import Table

Metrics = Mapping[str, Sequence[tuple[int, float]]]  # metric -> (step, value)

_PHASES = {"rollouts": "rollout", "of them tools": "tool_wait", "reference": "reference", "training": "train"}
_RATES = {
    "generated tokens/s": "generated_tokens_per_second",
    "trained tokens/s": "trained_tokens_per_second",
    "cache hits %": "cache_hit_share",
    "padding %": "padding_share",
    "encodes/image, rollout": "rollout_encodes_per_image",
    "encodes/image, training": "train_encodes_per_image",
}
_ABOUT = (
    "A row per stage of training. Seconds of all steps: rollouts, the time in them that environments and tools took, "
    "the reference's pass, forward and backward. Then medians over steps: tokens per second; tokens of "
    "episodes that were read from the cache; padding among the positions that were trained on; passes of the vision "
    "tower per distinct image; and the most memory taken. Of the process that leads."
)


def speed_tables(stages: Mapping[str, Metrics]) -> list[Table]:
    """One table, or none where no stage has said how long its steps took.

    Args:
        stages: metrics of each stage, as training logged them.
    """
    rows = [_row(stage, metrics) for stage, metrics in stages.items() if "speed/train_seconds" in metrics]
    header = ("stage", *(f"{name} s" for name in _PHASES), *_RATES, "peak MB")
    return [Table(title="Where the time of training went", about=_ABOUT, header=header, rows=tuple(rows))] * bool(rows)


def _row(stage: str, metrics: Metrics) -> tuple[str, ...]:
    def values(name: str) -> list[float]:
        return [value for _, value in metrics.get(f"speed/{name}", ())]

    seconds = [_cell(sum(found), 1) if (found := values(f"{name}_seconds")) else "" for name in _PHASES.values()]
    rates = []
    for title, name in _RATES.items():
        found, scale = values(name), 100 if title.endswith("%") else 1
        rates.append(_cell(median(found) * scale, 0 if "tokens" in title else 2) if found else "")
    peak = values("peak_memory_mb")
    return stage, *seconds, *rates, _cell(max(peak), 0) if peak else ""


def _cell(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"
