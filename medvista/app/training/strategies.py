"""How processes share a policy while it is trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from medvista.app.config.schema import PolicyConfig, TrainerConfig
from medvista.errors import UserError
from medvista.policies.sharding import full, part_like
from medvista.ranks import leads


def make_strategy(config: TrainerConfig, processes: int) -> str | Strategy:
    """What Lightning's trainer is given as its strategy.

    Args:
        config: its strategy by name.
        processes: of all machines.

    Raises:
        UserError: the package that a strategy needs is missing.
    """
    timeout = timedelta(minutes=config.timeout_minutes)
    if config.strategy == "fsdp2":
        return FullyShardedStrategy(processes, timeout)
    if config.strategy.startswith("deepspeed_stage_"):
        return _deepspeed(int(config.strategy[-1]), timeout)
    return config.strategy


def check_strategy(trainer: TrainerConfig, policy: PolicyConfig) -> None:
    """Refuses what a strategy cannot do.

    Raises:
        UserError: an optimiser step in parts under DeepSpeed, or quantised weights that would be shared out.
    """
    if trainer.strategy.startswith("deepspeed") and trainer.micro_batch_tokens:
        raise UserError(
            f"trainer.micro_batch_tokens={trainer.micro_batch_tokens} takes an optimiser step in parts, which "
            f"{trainer.strategy} would each take for a whole one: leave it null, or use fsdp2."
        )
    if trainer.strategy in ("fsdp2", "deepspeed_stage_3") and policy.quantise != "none":
        raise UserError(
            f"policy.quantise={policy.quantise} keeps weights in a form that {trainer.strategy} cannot share out: use "
            "ddp, or leave policy.quantise=none."
        )


class FullyShardedStrategy(ModelParallelStrategy):
    """FSDP2 whose checkpoints are those of any other strategy: one file, so that any number of processes goes on.

    Lightning's own whole checkpoints number the optimiser's states by the order of the model's parameters, where every
    other strategy numbers them by the order of the optimiser's; the two differ as soon as something is frozen.

    Args:
        processes: of all machines, among which the policy is shared.
        timeout: how long one waits for the others.
    """

    def __init__(self, processes: int, timeout: timedelta) -> None:
        super().__init__(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timeout
        )

    @property
    def lightning_restore_optimizer(self) -> bool:
        """True: optimisers are restored as they are elsewhere."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """All that is trained in the leader, nothing in the others. A collective step."""
        assert self.lightning_module is not None
        return _in_the_leader(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """All of an optimiser's state in the leader. A collective step."""
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        found = inner.state_dict()
        return {**found, "state": {number: _in_the_leader(state) for number, state in found["state"].items()}}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """A checkpoint, which every process reads whole."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Takes this process's part of the weights."""
        module = self.lightning_module
        assert module is not None
        own = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
        state = {name: part_like(t, own[name]) if name in own else t for name, t in checkpoint["state_dict"].items()}
        module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes this process's part of the optimisers' states."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weights for group in optimizer.param_groups for weights in group["params"]]
            numbers = [number for group in saved["param_groups"] for number in group["params"]]
            of = dict(zip(numbers, weights, strict=True))
            state = {number: _part_of_state(state, of[number]) for number, state in saved["state"].items()}
            optimizer.load_state_dict({**saved, "state": state})


def _in_the_leader(state: Mapping[str, Any]) -> dict[str, Any]:
    whole = {name: full(value).cpu() if isinstance(value, Tensor) else value for name, value in state.items()}
    return whole if leads() else {}


def _part_of_state(state: Mapping[str, Any], weights: Tensor) -> dict[str, Any]:
    return {name: part_like(value, weights) if torch.is_tensor(value) else value for name, value in state.items()}


def _deepspeed(stage: int, timeout: timedelta) -> Strategy:
    try:
        return DeepSpeedStrategy(stage=stage, timeout=timeout)
    except (ImportError, MisconfigurationException) as error:
        raise UserError(
            f"trainer.strategy=deepspeed_stage_{stage} needs DeepSpeed ({str(error).strip().splitlines()[0]}): "
            "pip install deepspeed, or use fsdp2."
        ) from error
