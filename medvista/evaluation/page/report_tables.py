"""Every table of the report by its section, named as its file is, after a sentence on its rows and columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.csv_tables import NamedTable
from medvista.evaluation.tables.arm_tables import Table, arms_tables, comparison_tables, percent, seed_tables
from medvista.evaluation.tables.measure_tables import calibration_tables, measure_tables, slice_tables
from medvista.evaluation.tables.tool_tables import counterfactual_tables, evidence_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Tables of one kind: what makes them, and what their rows and columns are."""

    name: str  # begins the names of their files
    make: Callable[[Results], Sequence[Table]]
    explained: str


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


_SECTIONS: dict[str, tuple[_Kind, ...]] = {
    "arms": (
        _Kind(
            name="arms",
            make=arms_tables,
            explained="A row per arm. Columns: accuracy in percent with its 95 % interval, on all questions and per "
            "family; tool calls per episode; the share of calls that failed; the share of looks that met the annotated "
            "evidence; tokens written per episode.",
        ),
        _Kind(
            name="seeds", make=seed_tables, explained="A row per arm, a column per training seed: accuracy in percent."
        ),
    ),
    "measures": (
        _Kind(
            name="measures",
            make=measure_tables,
            explained="A row per arm, a column per measure that the benchmark's own paper reports, in percent with its "
            "95 % interval.",
        ),
        _Kind(
            name="calibration",
            make=calibration_tables,
            explained="A row per arm. Columns: how often it answers, and whether the probabilities of its answers say "
            "how often they are right.",
        ),
    ),
    "comparisons": (
        _Kind(
            name="paired-tests",
            make=comparison_tables,
            explained="A row per pair of arms, asked the same questions. Columns: which questions; the difference in "
            "points of accuracy, positive where the first arm is better; its p-value alone and corrected for all tests "
            "(Holm), which is the one to believe; the number of pairs.",
        ),
    ),
    "tools": (
        _Kind(
            name="replays",
            make=counterfactual_tables,
            explained="A row per change. Columns: questions, and those with a look; accuracy with the true "
            "observations and with the changed ones; the share of answers that changed, in percent.",
        ),
        _Kind(
            name="evidence",
            make=evidence_tables,
            explained="A row per arm that looked. Columns: annotated questions; episodes that looked; how often a "
            "look held the centre of an annotated box, and how often the same look at a random place would; accuracy "
            "after a hit and after a miss; how often a look held half of an annotated mask.",
        ),
    ),
    "slices": (
        _Kind(
            name="slices",
            make=slice_tables,
            explained="A row per slice of the questions, a column per arm: accuracy in percent with its 95 % interval.",
        ),
    ),
    "leakage": (
        _Kind(
            name="leakage",
            make=leakage_tables,
            explained="A row per pair of a test set and a training set. Columns: test images, those with the pixels of "
            "a training image, those that look like one; questions, those about such images, and those asked in "
            "training in the same words.",
        ),
    ),
}


def report_tables(results: Results) -> dict[str, list[NamedTable]]:
    """Section -> its tables, each under a name that no other table has."""
    taken: set[str] = set()
    return {
        section: [t for kind in kinds for t in _named(kind, results, taken)] for section, kinds in _SECTIONS.items()
    }


def _named(kind: _Kind, results: Results, taken: set[str]) -> list[NamedTable]:
    named = []
    for table in kind.make(results):
        name = kind.name
        if kind.name in ("arms", "seeds", "measures", "calibration", "slices"):  # one per benchmark and mode
            name += "-" + _slug(table.title.partition(":")[0])
        base, number = name, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        named.append(NamedTable(name=name, explained=kind.explained, table=table))
    return named


def _slug(text: str) -> str:
    """A text as part of a file's name.

    >>> _slug("phantom, greedy, by answer type")
    'phantom-greedy-by-answer-type'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
