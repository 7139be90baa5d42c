"""What a run would take and need, found out without running it."""

from medvista.app.dry_run.report import dry_run

__all__ = ["dry_run"]
