"""A sweep: variants of an experiment at several seeds, each a run of its own, compared in one table."""

from medvista.app.sweep.flow import run_sweep

__all__ = ["run_sweep"]
