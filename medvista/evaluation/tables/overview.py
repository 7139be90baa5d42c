"""All tables of a run, in the order a reader asks: how good, by the benchmark's own measures, better than what, why."""

from __future__ import annotations

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.tables.arm_tables import Table, arms_tables, comparison_tables, seed_tables
from medvista.evaluation.tables.measure_tables import calibration_tables, measure_tables, slice_tables
from medvista.evaluation.tables.tool_tables import counterfactual_tables, evidence_tables
from medvista.evaluation.tables.variant_tables import variant_tables


def main_tables(results: Results) -> list[Table]:
    """All but the slices, which are many."""
    return [
        *variant_tables(results),
        *arms_tables(results),
        *seed_tables(results),
        *measure_tables(results),
        *comparison_tables(results),
        *counterfactual_tables(results),
        *evidence_tables(results),
        *calibration_tables(results),
    ]


def format_markdown(results: Results) -> str:
    """Every table, slices included, as Markdown for a page of documentation."""
    return "\n\n".join(table.to_markdown() for table in [*main_tables(results), *slice_tables(results)])
