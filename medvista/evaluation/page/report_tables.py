"""Every table of the report by its section, under the name that its file has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.csv_tables import NamedTable
from medvista.evaluation.tables.arm_tables import Table, arms_tables, comparison_tables, percent, seed_tables
from medvista.evaluation.tables.measure_tables import calibration_tables, measure_tables, slice_tables
from medvista.evaluation.tables.tool_tables import counterfactual_tables, evidence_tables
from medvista.evaluation.tables.variant_tables import variant_tables


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
    about = (
        "Rows are pairs of a test set and a training set. identical: test images with the pixels of a training image; "
        "look alike: those with nearly its perceptual hash; leaked: questions about either; same words: questions that "
        "training has in the same words."
    )
    title = "Test images seen in training, and the questions about them"
    return [Table(title=title, about=about, header=header, rows=rows)]


_SECTIONS: Mapping[str, Mapping[str, Callable[[Results], Sequence[Table]]]] = {  # section -> name -> what makes them
    "arms": {"variants": variant_tables, "arms": arms_tables, "seeds": seed_tables},
    "measures": {"measures": measure_tables, "calibration": calibration_tables},
    "comparisons": {"paired-tests": comparison_tables},
    "tools": {"replays": counterfactual_tables, "evidence": evidence_tables},
    "slices": {"slices": slice_tables},
    "leakage": {"leakage": leakage_tables},
}
_MANY = (
    "arms",
    "seeds",
    "variants",
    "measures",
    "calibration",
    "slices",
)  # one per benchmark and mode, which name it, too


def report_tables(results: Results) -> dict[str, list[NamedTable]]:
    """Section -> its tables, each under a name that no other table has."""
    named: dict[str, NamedTable] = {}
    sections: dict[str, list[NamedTable]] = {}
    for section, makers in _SECTIONS.items():
        tables = [(kind, table) for kind, make in makers.items() for table in make(results)]
        sections[section] = [_named(kind, table, named) for kind, table in tables]
    return sections


def _named(kind: str, table: Table, taken: dict[str, NamedTable]) -> NamedTable:
    """The table under a free name, which is then taken."""
    base = f"{kind}-{_slug(table.title.partition(':')[0])}" if kind in _MANY else kind
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken[name] = NamedTable(name=name, table=table)
    return taken[name]


def _slug(text: str) -> str:
    """A text as part of a file's name.

    >>> _slug("phantom, greedy, by answer type")
    'phantom-greedy-by-answer-type'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
