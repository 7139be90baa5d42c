"""Lightning callbacks: reference KL, validation, what tools add, episodes on disk, checkpoints, checks of batches."""

from medvista.callbacks.batch_checks import BatchChecks
from medvista.callbacks.benchmark_validation import BenchmarkValidation
from medvista.callbacks.collapse_monitor import CollapseMonitor
from medvista.callbacks.decomposition import Decomposition
from medvista.callbacks.policy_checkpoint import PolicyCheckpoint
from medvista.callbacks.reference_kl import ReferenceKL
from medvista.callbacks.trajectory_logger import TrajectoryLogger

__all__ = [
    "BatchChecks",
    "BenchmarkValidation",
    "CollapseMonitor",
    "Decomposition",
    "PolicyCheckpoint",
    "ReferenceKL",
    "TrajectoryLogger",
]
