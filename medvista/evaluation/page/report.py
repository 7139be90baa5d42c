"""The report of a run: one self-contained HTML page, which asks no network and needs no file beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from medvista.data.atomic import replacing
from medvista.data.json_fields import plain
from medvista.evaluation.numbers.results import ALL, ArmScore, Results, Score
from medvista.evaluation.page.charts import Estimate, forest_plot, line_chart, number
from medvista.evaluation.page.episode_cards import EpisodeCard, answered_right, episode_card
from medvista.evaluation.page.sections import Panel, changed_panels, leakage_tables, slice_panels
from medvista.evaluation.tables.arm_tables import arms_tables, comparison_tables, p_text, seed_tables, signed_points
from medvista.evaluation.tables.measure_tables import calibration_tables, column_meanings, measure_tables, slice_tables
from medvista.evaluation.tables.tool_tables import counterfactual_tables, evidence_tables
from medvista.types import Trajectory

Curves = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]  # stage -> metric -> (step, value)

# What a reader looks for first; a metric takes the place of the first word found in its name.
_METRIC_ORDER = (
    "accuracy",
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
_FIRST_CHARTS = 12  # more wait behind a click


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A titled learning curve and the value it ends with."""

    group: str  # "val/phantom" of "val/phantom/accuracy"
    title: str
    last: str
    chart: Markup


def write_report(
    path: Path,
    results: Results,
    curves: Curves,
    trajectories: Mapping[str, Sequence[Trajectory]],
    notes: Sequence[str] = (),
    *,
    is_right: Callable[[Trajectory], bool] = answered_right,
) -> None:
    """Write the report of a run as one HTML page.

    Args:
        path: the page; it is replaced in one move.
        results: what `results.json` holds.
        curves: stage -> metric -> ``(step, value)`` pairs.
        trajectories: arm -> the episodes picked to be read, good ones and failures.
        notes: sentences a reader should know before the numbers, such as what was left out.
        is_right: judges an episode's answer; by default strict exact match.
    """
    cards = [episode_card(arm, episode, is_right) for arm, episodes in trajectories.items() for episode in episodes]
    page = render_report(results, curves, cards, notes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(page.encode())


def render_report(results: Results, curves: Curves, cards: Sequence[EpisodeCard], notes: Sequence[str] = ()) -> str:
    """The page as a string."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # a model may write <script>
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "points": signed_points, "p": p_text, "duration": duration}
    return environment.get_template("report_template.html").render(
        results=results,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        notes=notes,
        panels={benchmark: _panels(results, benchmark) for benchmark in results.benchmarks()},
        modes={benchmark: results.modes(benchmark) for benchmark in results.benchmarks()},
        arm_tables=[*arms_tables(results), *seed_tables(results)],
        measure_tables=[*measure_tables(results), *calibration_tables(results)],
        column_meanings=column_meanings(results),
        comparison_tables=comparison_tables(results),
        changed_panels=changed_panels(results),
        tool_tables=[*counterfactual_tables(results), *evidence_tables(results)],
        slice_panels=slice_panels(results),
        slice_tables=slice_tables(results),
        leakage_tables=leakage_tables(results),
        stages={stage: _curves(metrics) for stage, metrics in curves.items() if metrics},
        first_charts=_FIRST_CHARTS,
        cards=cards,
        phases=_phases(results.timing),
        config=json.dumps(plain(results.config), indent=2, ensure_ascii=False) if results.config else "",
    )


def duration(seconds: float) -> str:
    """A time span as people say it.

    >>> duration(12.34), duration(754), duration(7260)
    ('12.3 s', '12 min 34 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _panels(results: Results, benchmark: str) -> list[Panel]:
    """The forest plots of a benchmark: all questions, then family by family."""
    families = results.families(benchmark)
    shown = (ALL, *families) if len(families) != 1 else (ALL,)  # a single family repeats the whole
    chance = results.chance.get(benchmark, {})
    panels = []
    for family in shown:
        title = "all questions" if family == ALL else family.replace("_", " ")
        rows = {arm: estimates for arm in results.arms if (estimates := _estimates(results, arm, benchmark, family))}
        words = f"Accuracy on {benchmark}, {title}"
        panels.append(Panel(title=title, chart=forest_plot(rows, title=words, chance=chance.get(family))))
    return panels


def _estimates(results: Results, arm: str, benchmark: str, family: str) -> list[Estimate]:
    estimates = []
    for mode in results.modes(benchmark):
        whole = results.score(arm, benchmark, mode)
        part = _part(whole, family)
        if whole is not None and part is not None:
            seeds = whole.per_seed if family == ALL else {}
            estimate = Estimate(series=mode, value=part.accuracy, ci95=part.ci95, n=part.n, per_seed=seeds)
            estimates.append(estimate)
    return estimates


def _part(score: ArmScore | None, family: str) -> Score | None:
    if score is None or family == ALL:
        return score
    return score.families.get(family)


def _curves(metrics: Mapping[str, Sequence[tuple[int, float]]]) -> list[Curve]:
    curves = []
    for name in sorted(metrics, key=_metric_rank):
        points = [(float(step), float(value)) for step, value in metrics[name] if math.isfinite(value)]
        if not points:
            continue
        group, _, title = name.rpartition("/")
        y_range = (0.0, 1.0) if any(word in title for word in _SHARES) else None
        chart = line_chart(points, title=name, y_range=y_range)
        curves.append(Curve(group=group, title=title.replace("_", " "), last=number(points[-1][1]), chart=chart))
    return curves


def _metric_rank(name: str) -> tuple[int, str]:
    found = (rank for rank, word in enumerate(_METRIC_ORDER) if word in name)
    return next(found, len(_METRIC_ORDER)), name


def _phases(timing: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Name, seconds and share of each phase of the run, without the total."""
    phases = {name.removesuffix("_s"): s for name, s in timing.items() if name != "total_s" and s > 0}
    whole = sum(phases.values())
    return [(name.replace("_", " "), seconds, seconds / whole) for name, seconds in phases.items()]
