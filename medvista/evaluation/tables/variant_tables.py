"""A sweep as a table: each variant of an arm, its accuracy over seeds and questions, its gain on the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from medvista.evaluation.numbers.results import ArmScore, Comparison, Mode, Results
from medvista.evaluation.tables.arm_tables import MISSING, Table, interval, p_text, percent, signed_points

SEPARATOR = " / "  # between an arm and its variant, in the names of a sweep's results


def variant_tables(results: Results) -> list[Table]:
    """One table per benchmark, mode and arm that variants change; none where variants were not compared."""
    tests = [test for test in results.comparisons if is_of_variants(test)]
    keys = dict.fromkeys((test.benchmark, test.mode, test.arm.split(SEPARATOR)[0]) for test in tests)
    return [_variant_table(results, benchmark, mode, arm) for benchmark, mode, arm in keys]


def is_of_variants(test: Comparison) -> bool:
    """Whether it compares two variants of one arm."""
    arm, baseline = test.arm.split(SEPARATOR), test.baseline.split(SEPARATOR)
    return len(arm) == len(baseline) == 2 and arm[0] == baseline[0]


def _variant_table(results: Results, benchmark: str, mode: Mode, arm: str) -> Table:
    tests = {
        test.arm: test
        for test in results.comparisons
        if is_of_variants(test) and (test.benchmark, test.mode) == (benchmark, mode)
    }
    baseline = next(test.baseline for name, test in tests.items() if name.startswith(arm + SEPARATOR))
    scores = dict(_scores(results, benchmark, mode, arm))
    seeds = [str(seed) for seed in results.seeds]
    test = next(iter(tests.values()))
    families = f" of {', '.join(test.families)}" if test.families else ""
    common = [name for name in scores if SEPARATOR not in name]
    others = f", and {', '.join(common)}, which no variant changes" if common else ""
    return Table(
        title=f"{benchmark}, {mode}, {arm}: accuracy of each variant in %",
        about=f"Rows are variants of {arm}{others}, on the same test questions{families} at "
        f"{len(seeds)} seeds of training, {test.n} in all. against baseline: difference in points, paired by seed and "
        "question. Intervals (95 %) resample seeds and images; p: permutation of images, corrected for all tests "
        "(Holm); seed: its accuracy; calls: tool calls per episode; hits %: looks that met the marked evidence.",
        header=("variant", "accuracy", "against baseline", "p", *(f"seed {seed}" for seed in seeds), "calls", "hits %"),
        rows=tuple(
            (
                _label(name, baseline),
                f"{percent(score.accuracy)} {interval(score.ci95)}",
                *_against(tests.get(name)),
                *(percent(score.per_seed.get(seed)) for seed in seeds),
                f"{score.tool_calls_mean:.2f}",
                percent(score.hit_rate),
            )
            for name, score in scores.items()
        ),
    )


def _scores(results: Results, benchmark: str, mode: Mode, arm: str) -> Iterator[tuple[str, ArmScore]]:
    """The variants of the arm, and the arms that no variant changes."""
    for name in results.arms:
        score = results.score(name, benchmark, mode)
        if score is not None and name.split(SEPARATOR)[0] in (arm, name):
            yield name, score


def _label(name: str, baseline: str) -> str:
    variant = name.partition(SEPARATOR)[2] or name
    return f"{variant} (baseline)" if name == baseline else variant


def _against(test: Comparison | None) -> tuple[str, str]:
    if test is None:
        return MISSING, MISSING
    low, high = (signed_points(bound) for bound in test.ci95)
    return f"{signed_points(test.difference)} [{low}, {high}]", p_text(test.p_holm)
