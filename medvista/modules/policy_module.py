"""What supervised and reinforcement learning share: a policy, and optimiser steps taken in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import lightning
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor

from medvista.functional.objectives import LossCounts
from medvista.modules.checkpoint_contents import check_summary, keep_out_frozen, save_summary
from medvista.modules.gradient_checkpointing import training_modes
from medvista.modules.micro_batches import micro_batches
from medvista.modules.nonfinite import NonfiniteSteps
from medvista.modules.optimisation import configure, freeze
from medvista.modules.same_on_any_ranks import with_every_parameter, world_counts
from medvista.policies.sharding import reshard, shard
from medvista.policies.vlm_policy import ROWS_AT_ONCE, VLMPolicy
from medvista.rollout.experience import TokenBatch
from medvista.settings import OptimiserConfig

Stats = dict[str, Tensor]


class PolicyModule(lightning.LightningModule):
    """Owns the policy and takes its optimiser steps; a subclass says what the loss is.

    Optimisation is manual, since a step may be made of several parts and an update of several steps; each step counts
    in ``global_step``.

    Args:
        policy: the policy to train.
        optimiser: see `OptimiserConfig`.
        total_steps: optimiser steps of the schedule.
        max_grad_norm: that gradients are clipped to.
        micro_batch_tokens: see `micro_batches`.
        gradient_checkpointing: compute a layer's activations again in backward instead of keeping them.
        share_prompts: see `VLMPolicy.forward`.
    """

    adapter_dropout: ClassVar[bool] = False  # whether adapters may drop out, see `training_modes`
    logged_as: ClassVar[str]  # what the names of statistics begin with
    largest: ClassVar[frozenset[str]] = frozenset()  # statistics of which a step has its parts' largest, not their sum

    def __init__(
        self,
        policy: VLMPolicy,
        optimiser: OptimiserConfig,
        *,
        total_steps: int,
        max_grad_norm: float = 1.0,
        micro_batch_tokens: int = 0,
        gradient_checkpointing: bool = False,
        share_prompts: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.optimiser = optimiser
        self.total_steps = total_steps
        self.max_grad_norm = max_grad_norm
        self.micro_batch_tokens = micro_batch_tokens
        self.gradient_checkpointing = gradient_checkpointing
        self.share_prompts = share_prompts
        self.grad_norm = torch.tensor(0.0)  # of the last step, before clipping
        self.nonfinite = NonfiniteSteps()
        freeze(policy, optimiser)
        keep_out_frozen(self)

    def loss(self, part: Any, counts: LossCounts) -> tuple[Tensor, Stats]:
        """The loss of some rows of a step, and what to log of them: sums over counts, so that parts add up.

        Args:
            part: rows of this process.
            counts: of the whole step, see `world_counts`.
        """
        raise NotImplementedError

    def configure_model(self) -> None:
        """Shards the policy where the strategy has said over which processes."""
        if self.device_mesh is not None:
            self.policy = shard(self.policy, self.device_mesh["data_parallel"])

    def on_fit_start(self) -> None:
        """See `training_modes`."""
        dropout = self.adapter_dropout
        training_modes(self.policy, checkpointing=self.gradient_checkpointing, adapter_dropout=dropout)
        self.policy.always_looks = bool(self._sharded())
        if self.share_prompts:
            with self.trainer.precision_plugin.forward_context():
                self.policy.find_out_whether_prompts_can_be_shared()
            reshard(self.policy)

    def optimise(self, rows: TokenBatch) -> Stats:
        """One optimiser step on this process's rows of it; a collective step.

        Returns:
            what `loss` said of all parts together, and ``<logged_as>/loss`` and ``<logged_as>/grad_norm``, the norm
            before clipping.
        """
        optimizer: Any = self.optimizers()
        counts = world_counts(rows.loss_mask)
        sharded = self._sharded()
        parts = self.split(rows, sharded=bool(sharded))
        found = []
        optimizer.zero_grad()
        for number, part in enumerate(parts, start=1):
            with nullcontext() if number == len(parts) else self._unshared_gradients(sharded):
                loss, stats = self.loss(part, counts)
                self.manual_backward(with_every_parameter(loss, self.policy, part))
            found.append(stats | {f"{self.logged_as}/loss": loss.detach()})
        self._step(optimizer)
        return self._together(found) | {f"{self.logged_as}/grad_norm": self.grad_norm}

    def split(self, rows: TokenBatch, *, sharded: bool) -> list[TokenBatch]:
        """The rows of a step in parts that go through forward and backward at once; a collective step."""
        # Each pass through a sharded model gathers its weights, so all processes take as many: one per part.
        most_rows = ROWS_AT_ONCE if sharded else None
        prompts = rows.shared_prompts(self.policy) if self.share_prompts else None
        return micro_batches(rows, self.micro_batch_tokens, most_rows=most_rows, prompts=prompts)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Clips, in the place where gradients of 16-bit mixed precision are no longer scaled."""
        precision: Any = self.trainer.precision_plugin
        scaler = getattr(precision, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # Lightning leaves it to such optimisers, which do it too late
        norm = torch.nn.utils.clip_grad_norm_(list(precision.main_params(optimizer)), self.max_grad_norm)
        self.grad_norm = getattr(norm, "full_tensor", lambda: norm)().detach()  # of a sharded tensor: over all shards
        if scaler is None:  # which leaves such steps out by itself, and seeks its scale by them
            self.nonfinite.leave_out(self.grad_norm, optimizer, f"{self.logged_as}, step {self.global_step}")

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Episodes are scored by `BenchmarkValidation`."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `keep_out_frozen`."""
        save_summary(checkpoint, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The weights that the checkpoint leaves out have to be those that it was written beside."""
        check_summary(checkpoint, self)

    def configure_optimizers(self) -> Any:
        """See `OptimiserConfig`."""
        return configure(self.policy, self.optimiser, self.total_steps)

    def _step(self, optimizer: Any) -> None:
        scheduler: Any = self.lr_schedulers()
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        optimizer.step()
        # A scaler that met an infinite gradient has skipped the step, and lowers its scale.
        if scaler is None or scaler.get_scale() >= scale:
            scheduler.step()

    def _together(self, found: Sequence[Stats]) -> Stats:
        """The statistics of a step from those of its parts."""
        stacked = {name: torch.stack([stats[name] for stats in found]) for name in found[0]}
        return {name: each.max() if name in self.largest else each.sum() for name, each in stacked.items()}

    def _sharded(self) -> list[Any]:
        """The modules whose weights FSDP2's `fully_shard` has spread over the processes."""
        return [part for part in self.modules() if hasattr(part, "set_requires_gradient_sync")]

    @contextmanager
    def _unshared_gradients(self, sharded: Sequence[Any]) -> Iterator[None]:
        """Gradients stay in this process, to be averaged with the others' after the last part."""
        strategy = self.trainer.strategy
        for part in sharded:
            part.set_requires_gradient_sync(False, recurse=False)
        try:
            with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
                yield
        finally:
            for part in sharded:
                part.set_requires_gradient_sync(True, recurse=False)


def means(found: Sequence[Mapping[str, Tensor]]) -> Stats:
    """Each statistic's mean over optimiser steps."""
    return {name: torch.stack([stats[name] for stats in found]).mean() for name in found[0]}
