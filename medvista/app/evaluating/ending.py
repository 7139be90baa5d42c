"""What a run says at its end: three tables at most, what it found in words, and where the rest is."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from medvista.app.config.schema import ExperimentConfig
from medvista.app.terminal import leads, printable, wrapped
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.tables.terminal import terminal_tables
from medvista.evaluation.tables.verdict import verdict

_FILES = {"results.json": "numbers", "report.html": "every table, curves, episodes"}


def print_ending(config: ExperimentConfig, results: Results, notes: Sequence[str] = ()) -> None:
    """Prints it on standard output, in the process that leads.

    Args:
        config: of the run.
        results: what it measured.
        notes: what else a reader of the numbers must know, one line each.
    """
    if not leads():
        return
    found = verdict(results)
    if config.task == "train" and len(results.seeds) == 1:
        found.append("One seed of training: the intervals are over images, and another seed may come out otherwise.")
    told = [
        *(table.to_text() for table in terminal_tables(results)),
        *(["\n".join(notes)] if notes else []),
        "\n".join(["What it found", *map(wrapped, found)]),
        "\n".join(f"{config.output_dir / name}   {what}" for name, what in _FILES.items()),
    ]
    print(printable("\n" + "\n\n".join(told), sys.stdout.encoding), flush=True)
