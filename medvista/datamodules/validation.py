"""Validation by rollouts, which supervised and reinforcement learning share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import lightning
import torch
from torch.utils.data import DataLoader

from medvista.errors import UserError
from medvista.policies import SamplingParams, VLMPolicy
from medvista.policies.evaluation_mode import evaluation_mode
from medvista.policies.sharding import gathered
from medvista.ranks import rank, world_size
from medvista.rollout import RolloutCollector, SampleBatch, TrajectoryBatch
from medvista.types import Trajectory, VQASample

CollectorFactory = Callable[[VLMPolicy], RolloutCollector]


class Control(NamedTuple):
    """Conditions under which validation questions are asked again."""

    make_collector: CollectorFactory
    # Whether an episode could go otherwise under them; the others count as played.
    matters: Callable[[Trajectory], bool]


class RolloutValidationDataModule(lightning.LightningDataModule):
    """Plays the validation questions of every benchmark, greedily, with the policy being trained.

    Args:
        make_collector: from the policy to the collector that plays its episodes.
        validation: questions by benchmark, one dataloader each, in this order.
        max_new_tokens: of one turn.
        batch_size: episodes that decode together.
        controls: other conditions under which each question is asked, too, by name.

    Raises:
        UserError: a validation question is from a test split, on which nothing may be chosen.
    """

    def __init__(
        self,
        make_collector: CollectorFactory,
        validation: Mapping[str, Sequence[VQASample]],
        *,
        max_new_tokens: int,
        batch_size: int = 256,
        controls: Mapping[str, Control] | None = None,
    ) -> None:
        super().__init__()
        refuse_test_split(validation)
        self.validation = dict(validation)
        self.max_new_tokens = max_new_tokens
        self.validation_batch_size = batch_size
        self.controls = dict(controls or {})
        self._control_collectors: dict[str, RolloutCollector] = {}
        self._make_collector = make_collector
        self._collector: RolloutCollector | None = None
        self._played_by: VLMPolicy | None = None  # whose episodes the collector plays

    @property
    def collector(self) -> RolloutCollector:
        """Plays episodes with the policy that the trainer is training: its weights are never an update old.

        To be used in `rollout_mode`.
        """
        assert self._collector is not None, "episodes are played in rollout mode"
        return self._collector

    def val_dataloader(self) -> list[DataLoader[SampleBatch]]:
        """One loader per benchmark; ranks share the questions without repeating any."""
        return [self._validation_loader(samples) for samples in self.validation.values()]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Questions -> finished episodes; other batches pass."""
        if not isinstance(batch, SampleBatch):
            return batch
        params = SamplingParams(max_new_tokens=self.max_new_tokens, temperature=0.0)
        with self.rollout_mode():
            episodes = self.collector.collect(batch.samples, params, seeds=list(range(len(batch))))
            return TrajectoryBatch(episodes, {name: self._under(name, episodes, params) for name in self.controls})

    def _under(self, name: str, episodes: Sequence[Trajectory], params: SamplingParams) -> list[Trajectory]:
        """The episodes as they go under a control's conditions."""
        assert self._played_by is not None, "episodes are played in rollout mode"
        control = self.controls[name]
        if name not in self._control_collectors:
            self._control_collectors[name] = control.make_collector(self._played_by)
        collector = self._control_collectors[name]
        collector.engine.update_weights(self.trainer.global_step)  # type: ignore[union-attr]
        again = [index for index, episode in enumerate(episodes) if control.matters(episode)]
        played = collector.collect([episodes[index].sample for index in again], params, seeds=again)
        other = dict(zip(again, played, strict=True))
        return [other.get(index, episode) for index, episode in enumerate(episodes)]

    @contextmanager
    def rollout_mode(self) -> Iterator[None]:
        """No gradient, evaluation mode, the trainer's precision: Lightning's hook runs outside all three.

        A collective step; inside of it processes play as many turns and tokens as each of them has to.
        """
        module = self.trainer.lightning_module  # type: ignore[union-attr]
        precision = self.trainer.precision_plugin  # type: ignore[union-attr]
        policy = gathered(cast(VLMPolicy, module.policy))
        with evaluation_mode(module), torch.no_grad(), precision.forward_context(), policy as whole:
            self._play_with(whole)
            yield

    def _play_with(self, policy: VLMPolicy) -> None:
        if self._collector is None or self._played_by is not policy:
            self._collector, self._played_by = self._make_collector(policy), policy
            self._control_collectors = {}
        self._collector.engine.update_weights(self.trainer.global_step)  # type: ignore[union-attr]

    def _validation_loader(self, samples: Sequence[VQASample]) -> DataLoader[SampleBatch]:
        own, size = samples[rank() :: world_size()], self.validation_batch_size
        # As many batches in every process, some of them empty: each is a collective step. Lightning skips a validation
        # without a batch, and with it the sum over processes that the others wait for.
        most = max(1, len(samples[:: world_size()]))
        batches = [SampleBatch(own[start : start + size]) for start in range(0, most, size)]
        return DataLoader(batches, batch_size=None, collate_fn=_as_it_is)  # type: ignore[arg-type]


def _as_it_is(batch: SampleBatch) -> SampleBatch:
    return batch


def refuse_test_split(sets: Mapping[str, Sequence[VQASample]]) -> None:
    """Raises where a set that training would look at holds a test question."""
    for name, samples in sets.items():
        if any(sample.split == "test" for sample in samples):
            raise UserError(
                f"the question set '{name}' given to training or validation holds test questions; "
                "nothing may be learned or chosen on test: give another split, test is evaluated once at the end."
            )
