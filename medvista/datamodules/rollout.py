"""Rollouts on the fly: each training batch is played by the weights that it will update."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from medvista.data.sampler import ResumableSampler
from medvista.datamodules.validation import CollectorFactory, RolloutValidationDataModule, refuse_test_split
from medvista.functional.objectives import zero_variance
from medvista.policies import SamplingParams
from medvista.rollout import ExperienceBatch, rollout_statistics
from medvista.types import TrajectoryGroup, VQASample


@dataclass(slots=True)
class UpdateTurn:
    """It is time for the next update: the batch itself is played after Lightning's transfer."""

    update: int

    def to(self, device: Any) -> UpdateTurn:
        """The same: there is no tensor in it yet."""
        return self


class RolloutDataModule(RolloutValidationDataModule):
    """Plays `prompts` questions, `group_size` siblings each, with the current policy, for every update.

    Samples are drawn at the moment of use, so that refills and a resumed run share one position.

    Args:
        train: the questions to learn on.
        make_collector: see `RolloutValidationDataModule`.
        validation: see `RolloutValidationDataModule`.
        prompts: groups an update and rank.
        group_size: siblings a group.
        updates: updates an epoch (Lightning wants a length).
        temperature: of the sampling.
        max_new_tokens: of one turn.
        advantage_scale: see `group_advantages`.
        refill_rounds: how often groups without variance are replaced by freshly played ones.
        seed: of the order of questions and of every draw.

    Raises:
        UserError: a question to learn on, or to validate on, is from a test split.
    """

    def __init__(
        self,
        train: Sequence[VQASample],
        make_collector: CollectorFactory,
        validation: Mapping[str, Sequence[VQASample]],
        *,
        prompts: int,
        group_size: int,
        updates: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        advantage_scale: Literal["std", "none"] = "std",
        refill_rounds: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(make_collector, validation, max_new_tokens=max_new_tokens)
        refuse_test_split({"train": train})
        self.train = train
        self.prompts, self.group_size, self.updates = prompts, group_size, updates
        self.params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature)
        self.advantage_scale = advantage_scale
        self.refill_rounds = refill_rounds
        self.seed = seed
        self.episodes = 0  # played by this rank so far
        self.generated_tokens = 0  # in those episodes
        self._sampler = ResumableSampler(len(train), seed=seed, endless=True)

    def setup(self, stage: str) -> None:
        """Takes this rank's share of the questions, keeping the position."""
        position = self._sampler.position
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        self._sampler = ResumableSampler(len(self.train), seed=self.seed, rank=rank, world_size=world, endless=True)
        self._sampler.position = position

    def train_dataloader(self) -> DataLoader[UpdateTurn]:
        """A turn an update; it has a length, so Lightning does not fetch ahead."""
        return DataLoader(range(self.updates), batch_size=None, collate_fn=UpdateTurn)  # type: ignore[arg-type]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """A turn -> the experience of one update; validation questions -> episodes."""
        if not isinstance(batch, UpdateTurn):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        with self.rollout_mode():
            experience = self._play()
        return experience.to(self.trainer.lightning_module.device)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream of questions, over all ranks."""
        counts = {"episodes": self.episodes, "generated_tokens": self.generated_tokens}
        return {"sampler": self._sampler.state_dict(), **counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on after the questions already played."""
        self._sampler.load_state_dict(state_dict["sampler"])
        self.episodes, self.generated_tokens = state_dict["episodes"], state_dict["generated_tokens"]

    def _play(self) -> ExperienceBatch:
        """Plays groups, replaces those without variance while rounds are left, and batches them."""
        start = time.perf_counter()
        useful: list[TrajectoryGroup] = []
        useless: list[TrajectoryGroup] = []
        for _ in range(1 + self.refill_rounds):
            groups = self._play_groups(self.prompts - len(useful))
            flat = zero_variance(torch.tensor([group.rewards for group in groups]))
            useful += [group for group, same in zip(groups, flat.tolist(), strict=True) if not same]
            useless += [group for group, same in zip(groups, flat.tolist(), strict=True) if same]
            if len(useful) == self.prompts:
                break
        seconds = time.perf_counter() - start
        played = useful + useless
        episodes = [trajectory for group in played for trajectory in group.trajectories]
        tokens = sum(sum(trajectory.stream.loss_mask) for trajectory in episodes)
        self.episodes += len(episodes)
        self.generated_tokens += tokens
        # Of every episode played: the groups kept below are those that are neither all right nor all wrong.
        stats = rollout_statistics(episodes) | {
            "rollout/seconds": seconds,
            "rollout/zero_variance_share": len(useless) / len(played),
            "rollout/episodes": float(len(episodes)),
            "rollout/generated_tokens": float(tokens),
        }
        # Groups without variance have no advantage and teach nothing; one stays where no other is left, so that every
        # rank takes its optimiser step.
        kept = useful or useless[:1]
        return ExperienceBatch.from_groups(kept, scale=self.advantage_scale, stats=stats)

    def _play_groups(self, count: int) -> list[TrajectoryGroup]:
        drawn = [self._next_sample() for _ in range(count)]
        siblings = [sample for _, sample in drawn for _ in range(self.group_size)]
        seeds = [
            _episode_seed(self.seed, epoch, sample.id, sibling)
            for epoch, sample in drawn
            for sibling in range(self.group_size)
        ]
        version = self.trainer.global_step  # type: ignore[union-attr]
        played = self.collector.collect(siblings, self.params, seeds=seeds, policy_version=version)
        size = self.group_size
        return [TrajectoryGroup(trajectories=played[i : i + size]) for i in range(0, len(played), size)]

    def _next_sample(self) -> tuple[int, VQASample]:
        """The next question and the epoch it belongs to: where one ends within a batch, seeds must not repeat."""
        epoch = (self._sampler.position + self._sampler.rank) // self._sampler.size
        (index,) = self._sampler.take(1)
        return epoch, self.train[index]


def _episode_seed(seed: int, epoch: int, sample_id: str, sibling: int) -> int:
    """Depends on nothing that a restart or another number of ranks would change."""
    words = [seed, epoch, sibling, *sample_id.encode()]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
