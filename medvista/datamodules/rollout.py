"""Rollouts on the fly: each training batch is played by the weights that it will update."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import repeat
from torch.utils.data import DataLoader

from medvista.data.curriculum import CurriculumSampler
from medvista.data.sampler import Drawn, ResumableSampler
from medvista.datamodules.validation import (
    CollectorFactory,
    Control,
    RolloutValidationDataModule,
    refuse_test_split,
)
from medvista.functional.episodes import correct
from medvista.policies import SamplingParams, VLMPolicy
from medvista.ranks import gathered, rank, totals, world_size
from medvista.rollout import (
    ExperienceBatch,
    ForkConfig,
    GroupChoice,
    MakeForkCollector,
    UpdateRequest,
    call_credits,
    choose_groups,
    rollout_statistics,
)
from medvista.types import TrajectoryGroup, VQASample


class _Outcome(NamedTuple):
    """What the processes tell each other of a group."""

    compared: list[float]  # what each sibling is compared by
    right: int  # siblings that answered rightly


class RolloutDataModule(RolloutValidationDataModule):
    """Plays `prompts` questions, `group_size` siblings each, with the current policy, for every update.

    Samples are drawn at the moment of use, so that refills and a resumed run share one position.

    Args:
        train: the questions to learn on.
        make_collector: see `RolloutValidationDataModule`.
        validation: see `RolloutValidationDataModule`.
        prompts: groups per update, of all processes together; at least one for each.
        group_size: siblings per group.
        updates: updates per epoch (Lightning wants a length).
        temperature: of the sampling.
        max_new_tokens: of one turn.
        oversample: groups played by how many an update learns from; the first with variance are kept.
        refill_rounds: how often groups without variance are replaced by others; see `choose_groups`.
        filter_on: what siblings have to differ in to be learned from: ``"total"``, a reward term, or None for nothing.
        filter_tolerance: difference up to which they count as equal.
        make_forks: from the policy to what plays forks, for credit to single calls; None gives none.
        forks: which episodes are forked, and how often.
        controls: see `RolloutValidationDataModule`.
        order: of the questions, over all processes; by default each once per epoch, shuffled.
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
        oversample: float = 1.0,
        refill_rounds: int = 0,
        filter_on: str | None = "total",
        filter_tolerance: float = 1e-6,
        make_forks: Callable[[VLMPolicy], MakeForkCollector] | None = None,
        forks: ForkConfig | None = None,
        controls: Mapping[str, Control] | None = None,
        order: ResumableSampler | CurriculumSampler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(make_collector, validation, max_new_tokens=max_new_tokens, controls=controls)
        refuse_test_split({"train": train})
        self.train = train
        self.prompts, self.group_size, self.updates = prompts, group_size, updates
        self.params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature)
        self.oversample, self.refill_rounds = oversample, refill_rounds
        self.filter_on, self.filter_tolerance = filter_on, filter_tolerance
        self.make_forks, self.forks = make_forks, forks or ForkConfig()
        self.seed = seed
        self.episodes = 0  # played so far, by all processes
        self.generated_tokens = 0  # in those episodes
        self._sampler = ResumableSampler(len(train), seed=seed, endless=True) if order is None else order

    def train_dataloader(self) -> DataLoader[UpdateRequest]:
        """One request per update; the loader has a length, so Lightning does not fetch ahead."""
        return DataLoader(range(self.updates), batch_size=None, collate_fn=UpdateRequest)  # type: ignore[arg-type]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """A request -> the experience of one update; validation questions -> episodes."""
        if not isinstance(batch, UpdateRequest):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        with self.rollout_mode():
            experience = self._play_update()
        return experience.to(self.trainer.lightning_module.device)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream of questions, over all ranks, and what steers the stream."""
        counts = {"episodes": self.episodes, "generated_tokens": self.generated_tokens}
        return {"sampler": self._sampler.state_dict(), **counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on after the questions already played."""
        self._sampler.load_state_dict(state_dict["sampler"])
        self.episodes, self.generated_tokens = state_dict["episodes"], state_dict["generated_tokens"]

    def _play_update(self) -> ExperienceBatch:
        """What one update learns from, with statistics of all that was played for it."""
        start = time.perf_counter()
        played, choice = self._play_with_refills()
        stats = self._count(list(played.values())) | {
            "rollout/seconds": time.perf_counter() - start,
            "rollout/zero_variance_share": choice.zero_variance_share,
        }
        if self.oversample > 1:
            stats["rollout/surplus_groups"] = len(choice.surplus)
        if isinstance(self._sampler, CurriculumSampler):
            stats |= {f"curriculum/{pool}": share for pool, share in self._sampler.pools().items()}
        kept = [number for number in choice.kept if number in played]
        learned_from = kept or list(played)[:1]
        batch = ExperienceBatch.from_groups([played[number] for number in learned_from], stats=stats)
        if self.make_forks is not None:
            self._credit_calls(batch, stats, self.make_forks)
        batch.groups = repeat(torch.tensor(learned_from), "p -> (p g)", g=self.group_size)
        return batch if kept else batch.without_loss()  # nothing to learn from here: the others' step is taken, too

    def _credit_calls(
        self, batch: ExperienceBatch, stats: dict[str, float], make_forks: Callable[[VLMPolicy], MakeForkCollector]
    ) -> None:
        """Gives the calls of the episodes that are learned from their credit; what it cost counts as generated, too."""
        assert self._played_by is not None, "forks are played in rollout mode"
        batch.credits, sums = call_credits(batch.trajectories, make_forks(self._played_by), self.params, self.forks)
        sums = totals(sums)
        self.generated_tokens += int(sums["fork_tokens"])
        stats |= {"rollout/forks": sums["forks"], "rollout/fork_tokens": sums["fork_tokens"]}
        if sums["calls"]:
            stats["rollout/call_credit"] = sums["credit"] / sums["calls"]

    def _play_with_refills(self) -> tuple[dict[int, TrajectoryGroup], GroupChoice]:
        """This process's groups by their number in the update, and which of all processes' the update learns from."""
        played: dict[int, TrajectoryGroup] = {}
        outcomes: list[_Outcome] = []  # of all processes' groups
        missing = self.prompts
        for refills_left in range(self.refill_rounds, -1, -1):
            # Every process draws all questions, so that the sampler is at the same position in each.
            drawn = self._sampler.draw(math.ceil(missing * self.oversample))
            own = self._play_groups(dict(enumerate(drawn, start=len(outcomes))))
            outcomes += self._outcomes(own, drawn)
            played |= own
            choice = self._choose(outcomes, refills_left)
            if not (missing := choice.refill):
                break
        return played, choice

    def _outcomes(self, played: Mapping[int, TrajectoryGroup], drawn: Sequence[Drawn]) -> list[_Outcome]:
        """Of the groups about these questions, which the processes shared; what a curriculum goes by."""
        own = {
            number: _Outcome(_compared(group, self.filter_on), sum(map(correct, group.trajectories)))
            for number, group in played.items()
        }
        known = {number: outcome for share in gathered(own) for number, outcome in share.items()}
        outcomes = [known[number] for number in sorted(known)]
        if isinstance(self._sampler, CurriculumSampler):
            for (index, _), outcome in zip(drawn, outcomes, strict=True):
                self._sampler.observe(index, outcome.right, self.group_size)
        return outcomes

    def _choose(self, outcomes: Sequence[_Outcome], refills_left: int) -> GroupChoice:
        """The same choice in every process, from the rewards of all."""
        tolerance = self.filter_tolerance if self.filter_on is not None else None
        rewards = [outcome.compared for outcome in outcomes]
        return choose_groups(rewards, wanted=self.prompts, refills_left=refills_left, tolerance=tolerance)

    def _count(self, played: Sequence[TrajectoryGroup]) -> dict[str, float]:
        """Adds to the counts; statistics of every episode, also of groups that are left out of the update."""
        episodes = [trajectory for group in played for trajectory in group.trajectories]
        tokens = sum(sum(trajectory.stream.loss_mask) for trajectory in episodes)
        counts = totals({"rollout/episodes": len(episodes), "rollout/generated_tokens": tokens})
        self.episodes += int(counts["rollout/episodes"])
        self.generated_tokens += int(counts["rollout/generated_tokens"])
        return rollout_statistics(episodes) | counts

    def _play_groups(self, drawn: Mapping[int, Drawn]) -> dict[int, TrajectoryGroup]:
        """Groups about the questions drawn, by number, played with the current policy; each process plays its share."""
        own = {number: each for number, each in drawn.items() if number % world_size() == rank()}
        siblings = [self.train[index] for index, _ in own.values() for _ in range(self.group_size)]
        seeds = [
            _episode_seed(self.seed, times, self.train[index].id, sibling)
            for index, times in own.values()
            for sibling in range(self.group_size)
        ]
        version = self.trainer.global_step  # type: ignore[union-attr]
        played = self.collector.collect(siblings, self.params, seeds=seeds, policy_version=version)
        size = self.group_size
        return {n: TrajectoryGroup(trajectories=played[i * size : (i + 1) * size]) for i, n in enumerate(own)}


def _compared(group: TrajectoryGroup, name: str | None) -> list[float]:
    """What the siblings are compared by."""
    if name is None or name == "total":
        return group.rewards
    return [episode.reward.terms[name] if episode.reward else 0.0 for episode in group.trajectories]


def _episode_seed(seed: int, times: int, sample_id: str, sibling: int) -> int:
    """Depends on nothing that a restart or another number of ranks would change; `times` a question was drawn before.

    Where an epoch ends within a batch, a question may stand in it twice, and seeds must not repeat.
    """
    words = [seed, times, sibling, *sample_id.encode()]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
