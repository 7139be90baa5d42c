"""What a run found, in words: computed from its paired tests, nulls and losses told as plainly as gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medvista.evaluation.numbers.results import ALL, ArmScore, Comparison, Counterfactual, Mode, Results
from medvista.evaluation.tables.arm_tables import percent, signed_points

_NAMED = 3  # arms that a sentence names, those closest to the arm it is about; the others are counted
_LEVEL = 0.05  # of the corrected p-value
_CONTROL = "_random"  # ends the name of an arm whose own policy is shown random boxes
_SHOWN = {
    "blank": "a blank image",
    "shuffled": "another image's result",
    "random": "a random region",
}


def verdict(results: Results) -> list[str]:
    """A few sentences for each benchmark, on the arm that the run's first comparison is about."""
    if not results.comparisons:
        return [_best_arms(results, name) for name in results.benchmarks() if results.modes(name)]
    arms = [comparison.arm for comparison in results.comparisons]
    return [
        " ".join(_sentences(results, arm, benchmark))
        for benchmark in results.benchmarks()
        # The arm that matters most, and in a sweep the same arm in its other variants.
        for arm in dict.fromkeys(found for found in arms if found.split(" / ")[0] == arms[0].split(" / ")[0])
        if _compared(results, arm, benchmark)
    ]


def _best_arms(results: Results, benchmark: str) -> str:
    mode = results.modes(benchmark)[0]
    scores = {arm: score for arm in results.arms if (score := results.score(arm, benchmark, mode)) is not None}
    best = max(scores, key=lambda arm: scores[arm].accuracy)
    return (
        f"On {benchmark}, {mode}: no two arms were compared in pairs, so no difference is claimed; "
        f"the highest of {len(scores)} accuracies is that of {best}, {percent(scores[best].accuracy)} %."
    )


def _compared(results: Results, arm: str, benchmark: str) -> list[Comparison]:
    """The arm's paired tests, in the first mode."""
    mode = results.modes(benchmark)[0]
    return [c for c in results.comparisons if (c.arm, c.benchmark, c.mode) == (arm, benchmark, mode)]


def _sentences(results: Results, arm: str, benchmark: str) -> Iterator[str]:
    tests = _compared(results, arm, benchmark)
    families, mode = tests[0].families, tests[0].mode
    score = results.score(arm, benchmark, mode)
    assert score is not None
    yield _answers(results, arm, benchmark, families, score)
    rivals = [test for test in tests if not test.baseline.split(" / ")[0].endswith(_CONTROL)]
    rivals.sort(key=lambda test: test.difference)
    yield from _against(results, [test for test in rivals if _is_clear(test) and test.difference > 0], "more than")
    yield from _undecided([test for test in rivals if not _is_clear(test)])
    yield from _against(results, [test for test in rivals if _is_clear(test) and test.difference < 0], "fewer than")
    own = [test for test in tests if test.baseline.replace(_CONTROL, "") == arm]
    if (own or results.counterfactuals) and not score.tool_calls_mean:
        yield "It calls no tool."
    elif own:
        yield from (_on_random_boxes(results, test) for test in own)
    else:
        yield from _without_results(results.counterfactuals, arm, benchmark, mode)


def _answers(results: Results, arm: str, benchmark: str, families: Sequence[str], score: ArmScore) -> str:
    accuracy, chance = _accuracy(score, families), _chance(results, benchmark, families, score)
    asked = f"the questions of {_listed(families)}" if families and score.families else "the questions"
    guessing = f"; guessing would answer {percent(chance, 0)} %" if chance is not None else ""
    mode = results.modes(benchmark)[0]
    return (
        f"On {benchmark}, {mode}: {_described(results, arm)} answers {percent(accuracy)} % of {asked} right{guessing}."
    )


def _against(results: Results, tests: Sequence[Comparison], words: str) -> Iterator[str]:
    """One sentence on the arms that differ clearly in one direction, the closest first."""
    if not tests:
        return
    closest = sorted(tests, key=lambda test: abs(test.difference))
    named = [f"{_points(test)} {words} {_described(results, test.baseline)}" for test in closest[:_NAMED]]
    others = closest[_NAMED:]
    rest = f"; {_counted(len(others))} {'are' if len(others) > 1 else 'is'} farther away" if others else ""
    yield f"That is {_listed(named)}{rest}."


def _undecided(tests: Sequence[Comparison]) -> Iterator[str]:
    if tests:
        named = [f"{test.baseline} ({_signed(test)})" for test in tests[:_NAMED]]
        more = [_counted(len(tests) - _NAMED)] if len(tests) > _NAMED else []
        yield f"No difference can be told from {_listed([*named, *more])}."


def _on_random_boxes(results: Results, test: Comparison) -> str:
    control = results.score(test.baseline, test.benchmark, test.mode)
    if not (_is_clear(test) and test.difference > 0):
        return f"With its calls run on random boxes it does no worse ({_signed(test)}): where it looks does not matter."
    assert control is not None
    reached = percent(_accuracy(control, test.families))
    at_chance = _is_at_chance(results, test, control)
    return f"With its calls run on random boxes it falls {'to chance, ' if at_chance else 'to '}{reached} %."


def _without_results(found: Sequence[Counterfactual], arm: str, benchmark: str, mode: Mode) -> Iterator[str]:
    """What became of the arm when something else was shown to it, where no control arm says so."""
    changes = [c for c in found if (c.arm, c.benchmark, c.mode) == (arm, benchmark, mode)]
    lost = [c for c in changes if c.overall.ci95[1] < 0]
    told = [
        f"{_SHOWN.get(c.change, c.change)} {signed_points(c.overall.difference)} points "
        f"[{signed_points(c.overall.ci95[0])}, {signed_points(c.overall.ci95[1])}]"
        for c in lost
    ]
    if told:
        yield f"Shown something else instead of its tools' results it loses: {_listed(told)}."
    elif changes:
        yield "Shown something else instead of its tools' results it answers no worse: it does not use them."


def _is_clear(test: Comparison) -> bool:
    """Whether the interval and the corrected test agree that there is a difference."""
    apart = test.ci95[0] > 0 or test.ci95[1] < 0
    return apart and (test.p_value if test.p_holm is None else test.p_holm) < _LEVEL


def _is_at_chance(results: Results, test: Comparison, score: ArmScore) -> bool:
    """Whether no family of the comparison is answered above chance, by its interval."""
    chance = results.chance.get(test.benchmark, {})
    parts = [(score.families[f], chance[f]) for f in test.families if f in score.families and f in chance]
    if not parts and ALL in chance:
        return score.ci95[0] <= chance[ALL]
    return bool(parts) and all(part.ci95[0] <= expected for part, expected in parts)


def _accuracy(score: ArmScore, families: Sequence[str]) -> float:
    """Accuracy on some families; on all questions, where families are not told apart."""
    parts = [score.families[family] for family in families if family in score.families]
    if not parts:
        return score.accuracy
    return sum(part.n * part.accuracy for part in parts) / sum(part.n for part in parts)


def _chance(results: Results, benchmark: str, families: Sequence[str], score: ArmScore) -> float | None:
    chance = results.chance.get(benchmark, {})
    known = [family for family in (families or score.families) if family in chance and family in score.families]
    if not known:
        return chance.get(ALL)
    return sum(score.families[f].n * chance[f] for f in known) / sum(score.families[f].n for f in known)


def _described(results: Results, arm: str) -> str:
    """``sft (SFT on tool-use demonstrations)``."""
    description = results.descriptions.get(arm, "").partition(" (")[0]
    return f"{arm} ({description})" if description else arm


def _points(test: Comparison) -> str:
    low, high = sorted(abs(100 * bound) for bound in test.ci95)
    return f"{abs(100 * test.difference):.1f} points [{low:.1f}, {high:.1f}]"


def _signed(test: Comparison) -> str:
    low, high = (signed_points(bound) for bound in test.ci95)
    return f"{signed_points(test.difference)} points [{low}, {high}]"


def _counted(number: int) -> str:
    return "1 other arm" if number == 1 else f"{number} other arms"


def _listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)
