"""The processes that share an evaluation: started here, or by torchrun or a cluster's scheduler."""

from __future__ import annotations

import os
from datetime import timedelta

import lightning
import torch
import torch.distributed as distributed
from lightning.fabric.strategies.ddp import DDPStrategy

from medvista.app.config.schema import TrainerConfig
from medvista.evaluation.playing.shard import Shard

# Processes wait for the slowest one's questions; the usual half hour would end a long evaluation.
_PATIENCE = timedelta(days=7)


def join_processes(trainer: TrainerConfig) -> Shard:
    """Makes this process one of ``trainer.devices`` x ``trainer.num_nodes``, and returns which.

    Where torchrun has started it, the processes are those torchrun counts, whatever ``trainer.devices`` says. Otherwise
    the others on this machine are started now, with the same command line.
    """
    devices, nodes = trainer.devices, trainer.num_nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    if devices * nodes > 1 and not distributed.is_initialized():
        strategy = DDPStrategy(timeout=_PATIENCE)
        fabric = lightning.Fabric(accelerator=trainer.accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        fabric.launch()
    return Shard.current()


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
