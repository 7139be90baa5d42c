"""One experiment, from data to report: ``python -m experiments.run [experiment=NAME] [key=value ...]``.

With ``--sweep`` each key may have several values, ``key=a,b``, and every combination is run at every ``seed=0,1``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from medvista.app.config import command_line
from medvista.app.config.checks import check_writable
from medvista.app.config.schema import ExperimentConfig
from medvista.app.run_folder import check, refuse_foreign_folder
from medvista.app.run_lock import run_lock
from medvista.app.terminal import say


def run(config: ExperimentConfig) -> None:
    """Run an experiment; everything it leaves behind is under ``config.output_dir``."""
    check(config)
    refuse_foreign_folder(config.output_dir)
    check_writable(config)
    say(f"{config.experiment} into {config.output_dir}: loading")
    # Imported here, since torch takes seconds that --help and a misspelt key should not cost.
    if config.task == "evaluate":
        from medvista.app.evaluate_policy import run_evaluation

        run_evaluation(config)
    elif config.task == "collect":
        from medvista.app.collect_demonstrations import run_collection

        run_collection(config)
    elif config.sweep is not None:
        from medvista.app.sweep.flow import run_sweep

        with run_lock(config.output_dir):
            run_sweep(config)
    else:
        from medvista.app.train_and_compare import run_arms

        run_arms(config)


def dry_run(config: ExperimentConfig) -> int:
    """Look at everything an experiment needs, and say what it would take."""
    from medvista.app.dry_run import dry_run

    return dry_run(config)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.main(run, argv, dry_run=dry_run)


if __name__ == "__main__":
    sys.exit(main())
