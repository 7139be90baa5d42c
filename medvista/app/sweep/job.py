"""A run as a job of a cluster: a command that is submitted again when its job is taken away."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from medvista.errors import UserError


class Job:
    """A command; preempted, or at its time limit, it goes on in a new job."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)

    def __call__(self) -> int:
        """The exit code; the output is that of the job."""
        return subprocess.run(self.command, check=False).returncode

    def checkpoint(self) -> Any:
        """What submitit submits when the job is taken away: the same, since a run resumes."""
        return import_submitit().helpers.DelayedSubmission(self)


def import_submitit() -> ModuleType:
    """The package, which is optional.

    Raises:
        UserError: it is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise UserError(
            "sweep.launcher=slurm needs submitit: pip install 'medvista[slurm]', or give sweep.launcher=local."
        ) from None
    return submitit
