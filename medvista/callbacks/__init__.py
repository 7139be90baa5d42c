"""Lightning callbacks: reference KL, validation, trajectories on disk, checkpoints."""

from medvista.callbacks.benchmark_validation import BenchmarkValidation
from medvista.callbacks.policy_checkpoint import PolicyCheckpoint
from medvista.callbacks.reference_kl import ReferenceKL
from medvista.callbacks.trajectory_logger import TrajectoryLogger

__all__ = ["BenchmarkValidation", "PolicyCheckpoint", "ReferenceKL", "TrajectoryLogger"]
