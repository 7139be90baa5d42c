"""What the report shows beside arms and curves: whether the tool mattered, accuracy by slice, leakage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from medvista.evaluation.numbers.results import Mode, Results, Score
from medvista.evaluation.page.charts import Estimate, forest_plot
from medvista.evaluation.tables.arm_tables import Table, percent

_MOST_LABELS = 15  # of a slice, the ones with most questions; the table has all


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A titled forest plot."""

    title: str
    chart: Markup


def changed_panels(results: Results) -> list[Panel]:
    """The share of answers that changed with what tools showed, a plot for each arm and benchmark."""
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
    """Accuracy of the arm that matters most by slice, a plot for each benchmark and dimension."""
    arm = results.comparisons[0].arm if results.comparisons else next(reversed(list(results.arms)), "")
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


def leakage_tables(results: Results) -> list[Table]:
    """Which test images were seen in training; no table where nothing was compared."""
    overlaps = results.leakage.get("overlaps", ())
    if not overlaps:
        return []
    header = (
        "test",
        "train",
        "test images",
        "identical",
        "look alike",
        "questions",
        "leaked",
        "leaked %",
        "same words",
    )
    rows = tuple(
        (
            str(overlap["test"]),
            str(overlap["train"]),
            str(overlap["test_images"]),
            str(overlap["identical_images"]),
            str(overlap["similar_images"]),
            str(overlap["test_questions"]),
            str(overlap["leaked_questions"]),
            percent(overlap["leaked_questions"] / max(overlap["test_questions"], 1)),
            str(overlap["repeated_questions"]),
        )
        for overlap in overlaps
    )
    return [Table(title="Test images seen in training, and the questions about them", header=header, rows=rows)]


def _rows(labels: Mapping[Mode, Mapping[str, Score]]) -> dict[str, list[Estimate]]:
    """Label -> an estimate a mode, the labels with most questions first."""
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
