"""Keeps the terminal for what a person wants to read, and torch on the threads it was given."""

from __future__ import annotations

import logging
import warnings

import torch
import transformers


def quiet_libraries(threads: int) -> None:
    """Silences Lightning's and transformers' remarks.

    Args:
        threads: CPU threads for torch; 0 leaves the choice to torch.
    """
    if threads:
        torch.set_num_threads(threads)
    for name in ("lightning.pytorch", "lightning.fabric", "transformers", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=FutureWarning)
