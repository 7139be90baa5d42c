"""What paired tests of one run have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from medvista.evaluation.numbers.results import Comparison, Counterfactual
from medvista.functional.statistics import holm

Test = TypeVar("Test", Comparison, Counterfactual)


def holm_corrected(tests: Sequence[Test]) -> list[Test]:
    """The tests with `p_holm`, corrected for all of them together; nothing for none."""
    if not tests:
        return []
    corrected = holm([test.p_value for test in tests])
    return [replace(test, p_holm=p) for test, p in zip(tests, corrected, strict=True)]
