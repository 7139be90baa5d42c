"""What paired tests of one run have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medvista.evaluation.results import Comparison
from medvista.functional.statistics import holm


def holm_corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with `p_holm`, corrected for all of them together; nothing for none."""
    if not comparisons:
        return []
    corrected = holm([comparison.p_value for comparison in comparisons])
    return [replace(comparison, p_holm=p) for comparison, p in zip(comparisons, corrected, strict=True)]
