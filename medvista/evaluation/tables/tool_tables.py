"""Did the tool matter? The two tables that say so: answers without what tools showed, and looks at the evidence."""

from __future__ import annotations

from medvista.evaluation.numbers.results import Counterfactual, Evidence, Interval, Results
from medvista.evaluation.tables.arm_tables import MISSING, Table, interval, p_text, percent, signed_points

SHOWN = {
    "blank": "nothing (blank)",
    "shuffled": "another image's (shuffled)",
    "random": "a random region",
}


def counterfactual_tables(results: Results) -> list[Table]:
    """What became of accuracy and answers when tools' results were replaced; no table when nothing was replayed."""
    if not results.counterfactuals:
        return []
    header = (
        "shown instead of the tool's result",
        "questions",
        "with a look",
        "accuracy",
        "then",
        "change, points",
        "p (Holm)",
        "answers changed %",
        "of those with a look %",
    )
    return [
        Table(
            title=f"Did the tool matter? {arm} on {benchmark}, {mode}: the same questions, other observations "
            "[95 % interval]",
            about="Rows are what was shown instead of the tools' results. with a look: questions on which a tool had "
            "shown something; accuracy and then: % of all questions answered right before and after; change: their "
            "difference; p (Holm): that of no change, corrected for all rows.",
            header=header,
            rows=tuple(
                _counterfactual_row(found)
                for found in results.counterfactuals
                if (found.arm, found.benchmark, found.mode) == (arm, benchmark, mode)
            ),
        )
        for arm, benchmark, mode in dict.fromkeys((c.arm, c.benchmark, c.mode) for c in results.counterfactuals)
    ]


def evidence_tables(results: Results) -> list[Table]:
    """How often each arm looked at the annotated evidence; no table where nothing is annotated."""
    if not results.evidence:
        return []
    header = (
        "looks at the evidence",
        "on",
        "annotated",
        "looked",
        "boxes hit %",
        "by chance %",
        "right if hit %",
        "right if missed %",
        "masks",
        "masks hit %",
    )
    return [
        Table(
            title="Did it look at the evidence? Regions looked at against annotated boxes and masks [95 % interval]",
            about="Rows are arms on a benchmark. annotated: test questions with marked evidence; looked: those on "
            "which the arm looked anywhere; boxes hit %: of these, a region looked at holds the centre of a marked "
            "box; by chance %: the same for regions at random places; masks hit %: a region holds half of a mask.",
            header=header,
            rows=tuple(map(_evidence_row, results.evidence)),
        )
    ]


def _counterfactual_row(found: Counterfactual) -> tuple[str, ...]:
    overall, looked = found.overall, found.looked
    return (
        SHOWN.get(found.change, found.change),
        str(overall.n),
        str(looked.n if looked else 0),
        percent(overall.accuracy),
        percent(overall.accuracy_changed),
        f"{signed_points(overall.difference)} [{signed_points(overall.ci95[0])}, {signed_points(overall.ci95[1])}]",
        p_text(found.p_holm),
        _rate(overall.answers_changed, overall.answers_changed_ci95),
        _rate(looked.answers_changed, looked.answers_changed_ci95) if looked else MISSING,
    )


def _evidence_row(found: Evidence) -> tuple[str, ...]:
    return (
        found.arm,
        f"{found.benchmark}, {found.mode}",
        str(found.annotated),
        str(found.looked),
        _rate(found.hit_rate, found.ci95),
        percent(found.hit_rate_random),
        percent(found.accuracy_hit),
        percent(found.accuracy_missed),
        str(found.masks),
        _rate(found.mask_hit_rate, found.mask_ci95),
    )


def _rate(rate: float | None, bounds: Interval | None) -> str:
    return MISSING if rate is None or bounds is None else f"{percent(rate)} {interval(bounds)}"
