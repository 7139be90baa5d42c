"""The forest plots of the report: arms by kind of question, slices, and answers that changed with what tools showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from medvista.evaluation.numbers.results import ALL, ArmScore, Mode, Results, Score
from medvista.evaluation.page.arms_figure import main_arm
from medvista.evaluation.page.charts import Estimate, forest_plot

_MOST_LABELS = 15  # of a slice, the ones with most questions; the table has all


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A titled forest plot."""

    title: str
    chart: Markup


def arm_panels(results: Results, benchmark: str) -> list[Panel]:
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


def changed_panels(results: Results) -> list[Panel]:
    """The share of answers that changed with what tools showed, a plot per arm and benchmark."""
    panels = []
    for arm, benchmark in dict.fromkeys((found.arm, found.benchmark) for found in results.counterfactuals):
        rows = {
            found.change: [
                Estimate(
                    series=found.mode,
                    value=found.looked.answers_changed,
                    ci95=found.looked.answers_changed_ci95,
                    n=found.looked.n,
                )
            ]
            for found in results.counterfactuals
            if (found.arm, found.benchmark) == (arm, benchmark) and found.looked is not None
        }
        title = f"{arm} on {benchmark}: answers changed, of the episodes with a look"
        if rows:
            panels.append(Panel(title=title, chart=forest_plot(rows, title=title)))
    return panels


def slice_panels(results: Results) -> dict[str, list[Panel]]:
    """Accuracy of the arm that matters most by slice, a plot per benchmark and dimension."""
    arm = main_arm(results)
    panels: dict[str, list[Panel]] = {}
    for benchmark in results.benchmarks():
        scores = {mode: results.score(arm, benchmark, mode) for mode in results.modes(benchmark)}
        cuts = {mode: score.slices for mode, score in scores.items() if score is not None}
        for dimension in dict.fromkeys(name for slices in cuts.values() for name in slices):
            labels = {mode: slices.get(dimension, {}) for mode, slices in cuts.items()}
            title = f"{arm}, by {dimension.replace('_', ' ')}"
            chart = forest_plot(_rows(labels), title=f"Accuracy of {title} on {benchmark}")
            panels.setdefault(benchmark, []).append(Panel(title=title, chart=chart))
    return panels


def _rows(labels: Mapping[Mode, Mapping[str, Score]]) -> dict[str, list[Estimate]]:
    """Label -> an estimate per mode, the labels with most questions first."""
    counts = {label: score.n for scores in labels.values() for label, score in scores.items()}
    most = sorted(counts, key=lambda label: -counts[label])[:_MOST_LABELS]
    return {
        label: [
            Estimate(series=mode, value=scores[label].accuracy, ci95=scores[label].ci95, n=scores[label].n)
            for mode, scores in labels.items()
            if label in scores
        ]
        for label in most
    }


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
