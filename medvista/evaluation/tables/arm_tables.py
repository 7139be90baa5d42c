"""The final tables of a run, for the terminal and for Markdown files. Accuracies are printed in percent.

A `Table` is made once and rendered in either form, so that what a page of the documentation says is what the run said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from medvista.evaluation.numbers.results import ALL, ArmScore, Comparison, Interval, Results, Score

MISSING = "–"
_PAGE = 100  # columns that the words around a table take


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A title, a header and rows of ready-made cells; the first column is text, the others are numbers."""

    title: str
    about: str = ""  # what rows, columns and cells are, on what data
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Columns that the aligned text takes."""
        return sum(self._widths()) + 2 * (len(self.header) - 1)

    def to_text(self) -> str:
        """Aligned columns, for a terminal."""
        widths = self._widths()
        rule = "  ".join("─" * width for width in widths)
        body = [_aligned(line, widths) for line in (self.header, *self.rows)]
        about = [fill(self.about, _PAGE)] if self.about else []
        return "\n".join([self.title, *about, "", body[0], rule, *body[1:]])

    def to_markdown(self) -> str:
        """A Markdown table under its title."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        lines = ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in (self.header, rule, *self.rows)]
        about = [f"\n{_escape(self.about)}"] if self.about else []
        return "\n".join([f"**{_escape(self.title)}**", *about, "", *lines])

    def _widths(self) -> list[int]:
        return [max(len(line[column]) for line in (self.header, *self.rows)) for column in range(len(self.header))]


def format_arms_table(results: Results) -> str:
    """Every arm on every benchmark, greedy and sampled, with 95 % intervals: aligned text for a terminal."""
    return "\n\n".join(table.to_text() for table in arms_tables(results))


def format_arms_markdown(results: Results) -> str:
    """The tables of `format_arms_table`, those of the seeds, and the paired tests, as Markdown."""
    tables = [*arms_tables(results), *seed_tables(results), *comparison_tables(results)]
    return "\n\n".join(table.to_markdown() for table in tables)


def format_comparisons_table(results: Results) -> str:
    """The paired tests between arms as aligned text; empty when none was made."""
    return "\n\n".join(table.to_text() for table in comparison_tables(results))


def arms_tables(results: Results) -> list[Table]:
    """One table for each benchmark and decoding mode: a row an arm, a column a family, then how tools were used."""
    return [_arms_table(results, name, mode) for name in results.benchmarks() for mode in results.modes(name)]


def seed_tables(results: Results) -> list[Table]:
    """Accuracy of every training seed, an arm a row, where a run has several seeds."""
    found = []
    for name in results.benchmarks():
        for mode in results.modes(name):
            whole = {arm: results.score(arm, name, mode) for arm in results.arms}
            scores = {arm: score for arm, score in whole.items() if score is not None and score.per_seed}
            seeds = tuple(dict.fromkeys(seed for score in scores.values() for seed in score.per_seed))
            rows = tuple(
                (arm, percent(score.accuracy), *(percent(score.per_seed.get(seed)) for seed in seeds))
                for arm, score in scores.items()
            )
            header = ("arm", "all seeds", *(f"seed {seed}" for seed in seeds))
            if rows:
                about = "Rows are arms, columns the seeds of training; every seed is asked the same test questions."
                title = f"{name}, {mode}: accuracy in %, seed by seed"
                found.append(Table(title=title, about=about, header=header, rows=rows))
    return found


def comparison_tables(results: Results) -> list[Table]:
    """The paired tests as one table; no table when no test was made."""
    if not results.comparisons:
        return []
    header = ("comparison", "on", "difference", "p", "p (Holm)", "pairs", "test")
    rows = tuple(_comparison_row(comparison) for comparison in results.comparisons)
    about = (
        "Rows are pairs of arms that were asked the same test questions, of the families named; p is that of no "
        "difference, p (Holm) the same corrected for all tests of the run."
    )
    title = "Paired tests, difference in points of accuracy [95 % interval]"
    return [Table(title=title, about=about, header=header, rows=rows)]


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as a percentage without its sign.

    >>> percent(0.8125)
    '81.2'
    """
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f}"


def interval(bounds: Interval, digits: int = 1) -> str:
    """An interval of fractions in percent.

    >>> interval((0.78, 0.841))
    '[78.0, 84.1]'
    """
    return f"[{percent(bounds[0], digits)}, {percent(bounds[1], digits)}]"


def signed_points(difference: float) -> str:
    """A difference of two fractions in percentage points, with its sign.

    >>> signed_points(0.482), signed_points(-0.031)
    ('+48.2', '−3.1')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_text(p_value: float | None) -> str:
    """A p-value to two digits, never as 0.

    >>> p_text(0.0421), p_text(3e-9)
    ('0.042', '<0.001')
    """
    if p_value is None:
        return MISSING
    return "<0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _arms_table(results: Results, benchmark: str, mode: str) -> Table:
    families = results.families(benchmark)
    scores = {arm: results.score(arm, benchmark, mode) for arm in results.arms}
    measured = {arm: score for arm, score in scores.items() if score is not None}
    rows = [_arm_row(arm, score, families) for arm, score in measured.items()]
    if chance := results.chance.get(benchmark):
        cells = (percent(chance.get(family)) for family in (ALL, *families))
        rows.append(("chance", *cells, *(MISSING,) * 4))
    return Table(
        title=f"{benchmark}, {mode}: accuracy in % [95 % interval], {_questions(list(measured.values()))}",
        about="Rows are arms, that is a policy and the tools it has; columns are all test questions and each family of "
        "them. calls: tool calls per episode; failed %: calls that failed; hits %: looks that met the marked evidence; "
        "tokens: sampled per episode. Intervals are over images.",
        header=("arm", "all", *families, "calls", "failed %", "hits %", "tokens"),
        rows=tuple(rows),
    )


def _arm_row(arm: str, score: ArmScore, families: Sequence[str]) -> tuple[str, ...]:
    return (
        arm,
        _accuracy(score, digits=1),
        *(_accuracy(score.families.get(family), digits=0) for family in families),
        f"{score.tool_calls_mean:.2f}",
        percent(score.tool_error_rate) if score.tool_calls_mean else MISSING,  # no call: nothing that could fail
        percent(score.hit_rate),
        f"{score.tokens_mean:.0f}",
    )


def _accuracy(score: Score | None, digits: int) -> str:
    return f"{percent(score.accuracy, digits)} {interval(score.ci95, digits)}" if score else MISSING


def _questions(scores: Sequence[ArmScore]) -> str:
    counts = sorted({score.n for score in scores})
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"


def _comparison_row(comparison: Comparison) -> tuple[str, ...]:
    families = f" ({', '.join(comparison.families)})" if comparison.families else ""
    return (
        f"{comparison.arm} vs {comparison.baseline}",
        f"{comparison.benchmark}{families}, {comparison.mode}",
        f"{signed_points(comparison.difference)} [{signed_points(comparison.ci95[0])}, "
        f"{signed_points(comparison.ci95[1])}]",
        p_text(comparison.p_value),
        p_text(comparison.p_holm),
        str(comparison.n),
        comparison.test,
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
