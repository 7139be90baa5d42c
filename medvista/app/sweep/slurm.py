"""The runs of a sweep as SLURM job arrays, through submitit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medvista.app.config.schema import ExperimentConfig
from medvista.app.sweep.hand_over import hand_over
from medvista.app.sweep.job import Job, import_submitit
from medvista.app.sweep.launch import Failures, Reached, failures
from medvista.app.sweep.parts import Part
from medvista.errors import UserError


def run_on_slurm(
    parts: Sequence[Part], done: Sequence[Part], config: ExperimentConfig, reached: Reached, cluster: str = "slurm"
) -> Failures:
    """Submits an array of the runs that need no other, then one of those that go on from these, and so on.

    Args:
        parts: of the sweep, each behind those that it needs.
        done: those that have ended before.
        config: of the sweep.
        reached: called after each run that ended well.
        cluster: submitit's name for what runs the jobs.

    Raises:
        UserError: submitit is not installed, or there is no SLURM here.
    """
    stopped: dict[Path, str] = {}
    for wave in _waves(parts):
        runs = [part for part in wave if part not in done]
        ready = [part for part in runs if not any(stopped.get(run) for run in part.handed.values())]
        stopped |= {part.folder: "a run that trains a stage for it stopped" for part in runs if part not in ready}
        for part in ready:
            hand_over(part)
        for part, problem in _run_array(ready, config, cluster):
            stopped[part.folder] = problem
            if not problem:
                reached()
    return failures(parts, stopped)


def _waves(parts: Sequence[Part]) -> list[list[Part]]:
    """The runs by how many others stand one behind the other before them."""
    depth: dict[Path, int] = {}
    for part in parts:
        depth[part.folder] = 1 + max((depth[run] for run in part.handed.values()), default=-1)
    return [[part for part in parts if depth[part.folder] == level] for level in sorted({*depth.values()})]


def _run_array(parts: Sequence[Part], config: ExperimentConfig, cluster: str) -> Iterator[tuple[Part, str]]:
    """Each run with why it stopped, as they end; empty where it ended well."""
    if not parts:
        return
    executor = _executor(config, cluster)
    with executor.batch():
        jobs = {executor.submit(Job(part.command)): part for part in parts}
    for job in import_submitit().helpers.as_completed(list(jobs)):
        yield jobs[job], _problem(job)


def _problem(job: Any) -> str:
    if job.exception() is not None:
        return f"its job {job.job_id} failed, see {job.paths.stderr}"
    code = job.result()
    return f"stopped with code {code}, see {job.paths.stderr}" if code else ""


def _executor(config: ExperimentConfig, cluster: str) -> Any:
    sweep = config.sweep
    assert sweep is not None
    asked = sweep.slurm
    try:
        executor = import_submitit().AutoExecutor(folder=config.output_dir / "jobs", cluster=cluster)
    except RuntimeError as error:  # submitit's word for a machine without sbatch
        raise UserError(
            f"sweep.launcher=slurm: there is no SLURM here ({error}): start the sweep where sbatch works, or give "
            "sweep.launcher=local."
        ) from None
    executor.update_parameters(
        name=config.experiment.rpartition("/")[2],
        nodes=config.trainer.num_nodes,
        tasks_per_node=config.trainer.devices,
        cpus_per_task=asked.cpus,
        gpus_per_node=asked.gpus,
        mem_gb=asked.memory_gb,
        timeout_min=asked.minutes,
        slurm_partition=asked.partition,
        slurm_array_parallelism=sweep.workers,
        slurm_additional_parameters=dict(asked.more),
    )
    return executor
