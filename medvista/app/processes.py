"""The processes that share a run: started here, or by torchrun or SLURM."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import lightning
import torch
import torch.distributed as distributed
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch.distributed.distributed_c10d import _set_pg_timeout

from medvista.app.config.schema import TrainerConfig
from medvista.app.lost_processes import end_watched, watch
from medvista.errors import UserError
from medvista.evaluation.playing.shard import Shard


def join_processes(trainer: TrainerConfig) -> Shard:
    """Makes this process one of ``trainer.devices`` x ``trainer.num_nodes``, and returns which.

    To be called before anything is written. Unless torchrun or SLURM has started them, the others on this machine are
    started now, with the same command line. Lightning's trainers then use these processes and start none.
    """
    devices, nodes = world_shape(trainer)
    if devices * nodes > 1 and not distributed.is_initialized():
        strategy = DDPStrategy()
        fabric = lightning.Fabric(accelerator=trainer.accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        try:
            fabric.launch()  # here Lightning's half hour counts: machines start when their scheduler lets them
        finally:
            watch(getattr(strategy.launcher, "procs", []))
        _set_pg_timeout(timedelta(minutes=trainer.timeout_minutes))
    shard = Shard.current()
    if not shard.leads:  # what is altered or guessed is said once
        logging.getLogger("medvista").setLevel(logging.ERROR)
    return shard


def world_shape(trainer: TrainerConfig) -> tuple[int, int]:
    """Processes per machine, and machines: what torchrun or SLURM counts where it has started them, else as configured.

    Raises:
        UserError: SLURM has started one process, and more are configured.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        # Lightning's trainers take WORLD_SIZE away when they end.
        world = distributed.get_world_size() if distributed.is_initialized() else int(os.environ["WORLD_SIZE"])
        return devices, world // devices
    if SLURMEnvironment.detect():
        return _slurm_shape(trainer)
    return trainer.devices, trainer.num_nodes


def _slurm_shape(trainer: TrainerConfig) -> tuple[int, int]:
    tasks = int(os.environ["SLURM_NTASKS"])
    nodes = int(os.environ.get("SLURM_NNODES", os.environ.get("SLURM_JOB_NUM_NODES", "1")))
    configured = trainer.devices * trainer.num_nodes
    if tasks == 1 < configured:  # Lightning would wait for the other tasks
        raise UserError(
            f"SLURM has started one task, but trainer.devices x trainer.num_nodes is {configured}: ask sbatch for "
            f"--nodes={trainer.num_nodes} --ntasks-per-node={trainer.devices}, and put srun before python."
        )
    # Of a job that was asked for as so many tasks in all, Lightning wants to be told how many a machine has.
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(tasks // nodes))
    return tasks // nodes, nodes


def evaluation_device(trainer: TrainerConfig) -> torch.device:
    """Where this process evaluates: the device that the trainer would give it."""
    fabric = lightning.Fabric(accelerator=trainer.accelerator, devices=1)
    if fabric.device.type != "cuda":
        return fabric.device
    local_rank = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", fabric.device.index or 0))
    return torch.device("cuda", int(local_rank))


def leave_processes() -> None:
    """Ends what `join_processes` began."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
    end_watched()
