"""One experiment, from data to report: ``python -m experiments.run [experiment=NAME] [key=value ...]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments import cli
from experiments.composition import to_yaml
from experiments.config import ExperimentConfig


def run(config: ExperimentConfig) -> None:
    """Run an experiment; everything it leaves behind is under ``config.output_dir``."""
    config.output_dir.mkdir(parents=True, exist_ok=True)
    (config.output_dir / "config.yaml").write_text(to_yaml(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return cli.main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
