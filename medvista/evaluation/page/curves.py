"""Learning curves of a stage of training, in the order a reader looks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup

from medvista.evaluation.page.charts import line_chart, number

Curves: TypeAlias = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]  # stage -> metric -> (step, value)

# What a reader looks for first; a metric takes the place of the first word found in its name.
_METRIC_ORDER = (
    "accuracy",
    "intrinsic_gain",
    "tool_effect",
    "tool_gain",
    "tool_harm",
    "reward",
    "loss",
    "tool_rate",
    "tool",
    "hit",
    "entropy",
    "kl",
    "clip",
    "variance",
    "length",
)
_SHARES = ("accuracy", "tool_rate", "hit_rate", "success", "answered", "zero_variance")  # drawn on an axis from 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A titled learning curve and the value it ends with."""

    group: str  # "val/phantom" of "val/phantom/accuracy"
    title: str
    last: str
    chart: Markup


def stage_curves(metrics: Mapping[str, Sequence[tuple[int, float]]]) -> list[Curve]:
    """The curves of one stage; a metric without a finite value has none."""
    curves = []
    for name in sorted(metrics, key=_rank):
        points = [(float(step), float(value)) for step, value in metrics[name] if math.isfinite(value)]
        if not points:
            continue
        group, _, title = name.rpartition("/")
        y_range = (0.0, 1.0) if any(word in title for word in _SHARES) else None
        chart = line_chart(points, title=name, y_range=y_range)
        curves.append(Curve(group=group, title=title.replace("_", " "), last=number(points[-1][1]), chart=chart))
    return curves


def _rank(name: str) -> tuple[int, int, str]:
    """By what it is; then the whole before its parts, "val/phantom/accuracy" before "val/phantom/side/accuracy"."""
    found = (rank for rank, word in enumerate(_METRIC_ORDER) if word in name)
    return next(found, len(_METRIC_ORDER)), name.count("/"), name
