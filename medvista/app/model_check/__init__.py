"""Whether a model is what training and evaluation take it for: told in a table, or held to at the start of a run."""

from medvista.app.model_check.checks import check_model, hold_to_checks
from medvista.app.model_check.finding import Finding

__all__ = ["Finding", "check_model", "hold_to_checks"]
