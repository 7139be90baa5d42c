"""The benchmarks' own measures, accuracy by slice, and calibration, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medvista.evaluation.numbers.benchmark_scoring import benchmark_scoring
from medvista.evaluation.numbers.process import PROCESS
from medvista.evaluation.numbers.results import ArmScore, Results
from medvista.evaluation.tables.arm_tables import MISSING, Table, interval, percent

_CALIBRATION: Mapping[str, str] = {
    "ece": "mean gap between confidence and accuracy, over 15 bins (expected calibration error); lower is better",
    "brier": "mean squared gap between confidence and outcome; lower is better",
    "auroc": "chance that a right answer is more confident than a wrong one; 0.5 says nothing",
    "aurc": "mean share of wrong answers over all coverages, the least confident left out first; lower is better",
    "aurc_excess": "aurc above that of a perfect ranking with the same accuracy",
    "accuracy_at_80": "accuracy on the most confident 80 % of the questions",
}
_ANSWERED: Mapping[str, str] = {
    "answered": "share of the questions that got an answer",
    "accuracy_answered": "share of those that were answered exactly",
}


def measure_tables(results: Results) -> list[Table]:
    """What each benchmark's paper reports, beside exact match: a row an arm, a column a measure."""

    def cell(score: ArmScore, name: str) -> str:
        measure = score.measures.get(name)
        return f"{percent(measure.mean)} {interval(measure.ci95)}" if measure else MISSING

    def names(score: ArmScore) -> list[str]:
        return [name for name in score.measures if name != "accuracy"]  # which stands in the table of arms

    about = (
        "Rows are arms, columns what the benchmark's paper reports, on all test questions that a measure applies to."
    )
    return _by_arm(results, "its own measures in % [95 % interval]", names, cell, about=about)


def calibration_tables(results: Results) -> list[Table]:
    """How often arms answer, and whether answer probabilities say how often answers are right.

    Left out are the arms that always answer and whose tokens are not known: baselines.
    """

    def values(score: ArmScore) -> dict[str, float]:
        answered = {"answered": score.answered_rate, "accuracy_answered": score.accuracy_answered}
        known = {name: value for name, value in answered.items() if value is not None}
        return known | {name: score.calibration[name] for name in _CALIBRATION if name in score.calibration}

    def cell(score: ArmScore, name: str) -> str:
        return f"{found[name]:.3f}" if name in (found := values(score)) else MISSING

    return _by_arm(
        results,
        "abstention and calibration of answer probabilities",
        lambda score: list(values(score)),
        cell,
        about="Rows are arms, columns what is measured on the test questions, as fractions: whether arms answer at "
        "all, and whether the probability of an answer's tokens says how often it is right.",
        only=lambda score: bool(score.calibration) or score.answered_rate < 1,
        order=(*_ANSWERED, *_CALIBRATION),  # which the first arm may lack some of: one that is never right has no auroc
    )


def column_meanings(results: Results) -> dict[str, str]:
    """What the columns of `measure_tables` and `calibration_tables` are, one line per column, in their order."""
    used = dict.fromkeys(name for t in (*measure_tables(results), *calibration_tables(results)) for name in t.header)
    scorings = map(benchmark_scoring, results.benchmarks())
    meanings = {measure.name: measure.meaning for scoring in scorings for measure in scoring.measures}
    meanings |= {**PROCESS, **_ANSWERED, **_CALIBRATION}
    return {name: meanings[name] for name in used if name in meanings}


def slice_tables(results: Results) -> list[Table]:
    """Accuracy by modality, organ, question type and answer type: a row a label, a column an arm."""
    tables = []
    for benchmark in results.benchmarks():
        for mode in results.modes(benchmark):
            scores = _scores(results, benchmark, mode)
            dimensions = dict.fromkeys(name for score in scores.values() for name in score.slices)
            tables += [_slice_table(benchmark, mode, dimension, scores) for dimension in dimensions]
    return tables


def _slice_table(benchmark: str, mode: str, dimension: str, scores: Mapping[str, ArmScore]) -> Table:
    counts: dict[str, int] = {}
    for score in scores.values():
        counts |= {label: part.n for label, part in score.slices.get(dimension, {}).items()}

    def cell(score: ArmScore, label: str) -> str:
        part = score.slices.get(dimension, {}).get(label)
        return f"{percent(part.accuracy, 0)} {interval(part.ci95, 0)}" if part else MISSING

    rows = tuple((label, str(n), *(cell(score, label) for score in scores.values())) for label, n in counts.items())
    title = f"{benchmark}, {mode}, by {dimension.replace('_', ' ')}: accuracy in % [95 % interval]"
    about = "Rows are groups of the test questions, n how many there are, the other columns arms."
    return Table(title=title, about=about, header=(dimension.replace("_", " "), "n", *scores), rows=rows)


def _by_arm(
    results: Results,
    title: str,
    names_of: Callable[[ArmScore], list[str]],
    cell: Callable[[ArmScore, str], str],
    about: str,
    only: Callable[[ArmScore], bool] = lambda _: True,
    order: Sequence[str] = (),
) -> list[Table]:
    """One table for each benchmark and decoding mode, a row an arm; none where there is nothing to show."""
    tables = []
    for benchmark in results.benchmarks():
        for mode in results.modes(benchmark):
            scores = {arm: score for arm, score in _scores(results, benchmark, mode).items() if only(score)}
            names = list(dict.fromkeys(name for score in scores.values() for name in names_of(score)))
            if not names:
                continue
            names = [name for name in order if name in names] or names
            rows = tuple((arm, *(cell(score, name) for name in names)) for arm, score in scores.items())
            heading = f"{benchmark}, {mode}: {title}"
            tables.append(Table(title=heading, about=about, header=("arm", *names), rows=rows))
    return tables


def _scores(results: Results, benchmark: str, mode: str) -> dict[str, ArmScore]:
    found = {arm: results.score(arm, benchmark, mode) for arm in results.arms}
    return {arm: score for arm, score in found.items() if score is not None}
