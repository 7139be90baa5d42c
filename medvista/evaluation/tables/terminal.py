"""What is printed at the end of a run: three tables at most, narrow enough for a terminal; the report has the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medvista.evaluation.numbers.results import ALL, ArmScore, Comparison, Mode, Results, Score
from medvista.evaluation.tables.arm_tables import MISSING, Table, interval, p_text, percent, signed_points
from medvista.evaluation.tables.tool_tables import SHOWN
from medvista.evaluation.tables.variant_tables import variant_tables

WIDTH = 100  # columns
_DRAWN = "about drawn CT-like slices"
_MOST_ROWS = 20
_MOST_TABLES = 3
_INTERVAL = "[95 % interval]"
_LONGEST_NAME = 30  # characters of an arm or a benchmark

Column = tuple[str, Callable[[ArmScore], str]]


def terminal_tables(results: Results) -> list[Table]:
    """How good, better than what, and whether tools' results mattered; each only where there is something to show.

    Of a sweep over variants the table that holds all of it, for each arm that variants change.
    """
    if variants := variant_tables(results)[:_MOST_TABLES]:
        return [_cut(table) for table in variants]
    found = [_accuracies(results), _comparisons(results), _counterfactuals(results)]
    return [_cut(table) for table in found if table is not None and table.rows]


def _accuracies(results: Results) -> Table | None:
    """A row per arm: of one benchmark by family, of several by benchmark."""
    benchmarks = results.benchmarks()
    if len(benchmarks) == 1:
        return _by_family(results, benchmarks[0])
    rows = tuple(
        (_short(arm), *(_cell(_first(results, arm, name), digits=0) for name in benchmarks)) for arm in results.arms
    )
    cells = f"cells are the % of the test questions answered right {_INTERVAL}"
    about = " ".join([f"Rows are arms (a policy and the tools it has), columns benchmarks; {cells}.", *_model(results)])
    title = "How good: accuracy on each benchmark"
    return Table(title=title, about=about, header=("arm", *map(_short, benchmarks)), rows=rows)


def _model(results: Results) -> list[str]:
    """The sentence on which model it was, where the results tell."""
    policy = results.config.get("policy")
    if not isinstance(policy, Mapping):
        return []
    name = policy.get("path") or (policy.get("endpoint") or {}).get("model")
    if not name and policy.get("language_model"):
        name = f"{Path(policy['language_model']).name} with a vision tower of ours"
    return [f"The model is {name or 'the nano model'}."]


def _first(results: Results, arm: str, benchmark: str) -> ArmScore | None:
    modes = results.modes(benchmark)
    return results.score(arm, benchmark, modes[0]) if modes else None


def _by_family(results: Results, benchmark: str) -> Table | None:
    modes = results.modes(benchmark)
    if not modes:
        return None
    families = results.families(benchmark)
    use: list[Column] = [("calls", lambda score: f"{score.tool_calls_mean:.2f}")]
    hits: list[Column] = [("hits %", lambda score: percent(score.hit_rate, 0))]
    whole: list[Column] = [(ALL, lambda score: _cell(score))]
    wide = [*whole, *(_family_column(family, with_interval=True) for family in families)]
    narrow = [*whole, *(_family_column(family, with_interval=False) for family in families)]
    variants = [[*wide, *use, *hits], [*wide, *use], [*narrow, *use, *hits], [*whole, *use, *hits]]
    tables = [_arms_table(results, benchmark, modes[0], columns) for columns in variants]
    return next((table for table in tables if table.width <= WIDTH), tables[-1])


def _family_column(family: str, *, with_interval: bool) -> Column:
    def cell(score: ArmScore) -> str:
        part = score.families.get(family)
        return _cell(part, digits=0, with_interval=with_interval)

    return family, cell


def _arms_table(results: Results, benchmark: str, mode: Mode, columns: Sequence[Column]) -> Table:
    scores = {arm: score for arm in results.arms if (score := results.score(arm, benchmark, mode)) is not None}
    rows = [(_short(arm), *(cell(score) for _, cell in columns)) for arm, score in scores.items()]
    if chance := results.chance.get(benchmark):
        rows.append(("chance", *(percent(chance.get(name), 0) for name, _ in columns)))
    counts = sorted({score.n for score in scores.values()})
    asked = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    names = [name for name, _ in columns]
    what = _DRAWN if benchmark == "phantom" else f"of {_short(benchmark)}"
    about = [f"Rows are arms (a policy and the tools it has), columns families of the {asked} test questions {what}."]
    about += [f"Cells are the % answered right {_INTERVAL}; calls: tool calls per episode"]
    about[-1] += "; hits %: looks that met the marked evidence." if "hits %" in names else "."
    about += _model(results)
    return Table(
        title=f"How good: accuracy on {benchmark}, {mode}",
        about=" ".join(about),
        header=("arm", *names),
        rows=tuple(rows),
    )


def _comparisons(results: Results) -> Table | None:
    if not results.comparisons:
        return None
    kept = [test for test in results.comparisons if test.mode == results.modes(test.benchmark)[0]]
    several = len({test.benchmark for test in kept}) > 1
    families = tuple(dict.fromkeys(family for test in kept for family in test.families))
    rows = tuple(_comparison_row(test, with_benchmark=several) for test in kept[:_MOST_ROWS])
    on = f", on the questions of {', '.join(families)}" if families else ""
    more = f" {len(kept) - _MOST_ROWS} more are in the report." if len(kept) > _MOST_ROWS else ""
    about = (
        f"Rows are pairs of arms asked the same questions{on}; the difference is in points of accuracy {_INTERVAL}, "
        f"p by permutation of images, corrected for all tests of the run (Holm).{more}"
    )
    header = ("arms compared", *(["on"] if several else []), "difference", "p", "questions")
    return Table(title=f"Better than what: paired tests, {kept[0].mode}", about=about, header=header, rows=rows)


def _comparison_row(test: Comparison, *, with_benchmark: bool) -> tuple[str, ...]:
    low, high = (signed_points(bound) for bound in test.ci95)
    return (
        f"{_short(test.arm)} vs {_short(test.baseline)}",
        *([_short(test.benchmark)] if with_benchmark else []),
        f"{signed_points(test.difference)} [{low}, {high}]",
        p_text(test.p_value if test.p_holm is None else test.p_holm),
        str(test.n),
    )


def _counterfactuals(results: Results) -> Table | None:
    if not results.counterfactuals:
        return None
    several = len({found.benchmark for found in results.counterfactuals}) > 1
    rows = tuple(
        (
            SHOWN.get(found.change, found.change) + (f", {_short(found.benchmark)}" if several else ""),
            str(found.looked.n if found.looked else 0),
            percent(found.overall.accuracy),
            percent(found.overall.accuracy_changed),
            f"{signed_points(found.overall.difference)} [{signed_points(found.overall.ci95[0])}, "
            f"{signed_points(found.overall.ci95[1])}]",
        )
        for found in results.counterfactuals[:_MOST_ROWS]
    )
    first = results.counterfactuals[0]
    about = (
        f"{first.arm} was asked the same questions again and shown something else instead of its tools' results: a row "
        f"for each. Accuracy is in % of all questions, the change in points {_INTERVAL}; looks: questions on which a "
        "tool showed something."
    )
    header = ("shown instead", "looks", "accuracy", "then", "change")
    return Table(
        title=f"Did the tools' results matter: {first.arm}, {first.mode}", about=about, header=header, rows=rows
    )


def _cell(score: Score | None, digits: int = 1, *, with_interval: bool = True) -> str:
    if score is None:
        return MISSING
    return (
        f"{percent(score.accuracy, digits)} {interval(score.ci95, digits)}"
        if with_interval
        else percent(score.accuracy)
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _cut(table: Table) -> Table:
    """The table without the last columns that do not fit."""
    kept = len(table.header)
    while kept > 2 and replace(table, header=table.header[:kept], rows=_columns(table.rows, kept)).width > WIDTH:
        kept -= 1
    if kept == len(table.header):
        return table
    about = f"{table.about} {len(table.header) - kept} more columns are in the report."
    return replace(table, about=about, header=table.header[:kept], rows=_columns(table.rows, kept))


def _columns(rows: Sequence[tuple[str, ...]], count: int) -> tuple[tuple[str, ...], ...]:
    return tuple(row[:count] for row in rows)
