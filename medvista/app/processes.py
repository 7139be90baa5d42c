"""The processes that share a run: started here, or by torchrun or a cluster's scheduler."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import lightning
import torch
import torch.distributed as distributed
from lightning.fabric.strategies.ddp import DDPStrategy

from medvista.app.config.schema import TrainerConfig
from medvista.evaluation.playing.shard import Shard

# Processes wait for the slowest one's questions, and for what the leader prepares: half an hour, the usual, is short.
_PATIENCE = timedelta(days=7)


def join_processes(trainer: TrainerConfig) -> Shard:
    """Makes this process one of ``trainer.devices`` x ``trainer.num_nodes``, and returns which.

    To be called before anything is written. Unless torchrun or SLURM has started them, the others on this machine are
    started now, with the same command line. Lightning's trainers then use these processes and start none.
    """
    devices, nodes = world_shape(trainer)
    if devices * nodes > 1 and not distributed.is_initialized():
        strategy = DDPStrategy(timeout=_PATIENCE)
        fabric = lightning.Fabric(accelerator=trainer.accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        fabric.launch()
    shard = Shard.current()
    if not shard.leads:  # what is altered or guessed is said once
        logging.getLogger("medvista").setLevel(logging.ERROR)
    return shard


def world_shape(trainer: TrainerConfig) -> tuple[int, int]:
    """Processes per machine, and machines: what torchrun counts where it has started them, else what is configured."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return trainer.devices, trainer.num_nodes
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    # Lightning's trainers take WORLD_SIZE away when they end.
    world = distributed.get_world_size() if distributed.is_initialized() else int(os.environ["WORLD_SIZE"])
    return devices, world // devices


def evaluation_device(trainer: TrainerConfig) -> torch.device:
    """Where this process evaluates: the device that the trainer would give it."""
    fabric = lightning.Fabric(accelerator=trainer.accelerator, devices=1)
    if fabric.device.type == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", fabric.device.index or 0)))
    return fabric.device


def leave_processes() -> None:
    """Ends what `join_processes` began."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
