"""Credit for single calls: what an episode earned, less what it would have, had the call shown nothing.

At a call the episode is forked: the same prompt, turns, calls and results are repeated token by token up to it, its
result is blanked, and the policy goes on with new draws. With the return ``R`` of the episode and those of ``m`` forks,

    credit = R - mean(R'_1, ..., R'_m)

is an unbiased estimate of the effect of the observation, ``E[R | shown] - E[R | blanked]`` given all before it, since
the episode and its forks are draws from the two; its variance is ``Var[R | shown] + Var[R | blanked] / m``. Where only
a share ``q`` of the episodes is forked, drawn by lot, a credit ``c`` counts as ``c / q`` there and as 0 elsewhere: the
expectation stays, and the variance becomes ``(Var[c] + (1 - q) E[c]^2) / q``. No judge and no second model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from medvista.notices import notice
from medvista.policies import Engine, GenerationRequest, SamplingParams, ScriptedPolicy
from medvista.rollout.collector import RolloutCollector
from medvista.types import Completion, ToolCall, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fork:
    """An episode that goes on from one of its calls as if that had shown nothing."""

    episode: Trajectory
    row: int  # of the episode in the batch
    turn: int  # of the call
    results_before: int  # successful results before the call's


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkConfig:
    """How many episodes are forked, and how often."""

    share: float = 1.0  # of the episodes
    forks: int = 1  # per call
    weight: float = 1.0  # of the credit in a token's advantage
    seed: int = 0


MakeForkCollector = Callable[[Sequence[Fork], int], RolloutCollector]  # the forks, and their number for the draws


class ForkedEngine(ScriptedPolicy):
    """Repeats an episode's turns up to the forked call, then lets the engine go on with draws of its own.

    Args:
        forks: of different episodes, known by their seeds.
        number: sets the draws of one round of forks apart from those of the episodes and of other rounds.
        engine: of the policy.
    """

    def __init__(self, forks: Sequence[Fork], number: int, engine: Engine) -> None:
        recorded = {fork.episode.seed: fork.episode.turns[: fork.turn + 1] for fork in forks}

        def script(trajectory: Trajectory) -> Completion | None:
            own, turn = recorded[trajectory.seed], len(trajectory.turns)
            return own[turn].completion if turn < len(own) else None

        super().__init__(script, otherwise=engine)
        self._number = number

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """See `Engine`; what is drawn anew is drawn from other seeds than the episode's."""
        super().submit([replace(request, seed=(*request.seed, 1 + self._number)) for request in requests], params)


def forkable_calls(episode: Trajectory) -> list[int]:
    """The turns whose call showed the policy something."""
    return [
        index
        for index, turn in enumerate(episode.turns)
        if isinstance(turn.action, ToolCall) and turn.result and turn.result.ok and turn.observation is not None
    ]


def call_credits(
    episodes: Sequence[Trajectory], make_collector: MakeForkCollector, params: SamplingParams, config: ForkConfig
) -> tuple[Tensor, dict[str, float]]:
    """Each sampled token's credit, ``[N, T]``: that of its call on the tokens of the call's turn, 0 elsewhere.

    Args:
        episodes: finished, of different seeds where they are of one question.
        make_collector: plays forks; those handed over together are of different episodes.
        params: of the episodes.
        config: which episodes, and how often.

    Returns:
        The credits, divided by the share of episodes and weighed; and sums: ``calls`` that were judged, their
        ``credit``, the ``forks`` played, and the ``fork_tokens`` generated in them.
    """
    credit_NT = torch.zeros(len(episodes), max(len(episode.stream) for episode in episodes))
    forks = [fork for row, episode in enumerate(episodes) if _drawn(episode, config) for fork in _forks(episode, row)]
    earned: dict[int, list[float]] = {index: [] for index in range(len(forks))}
    tokens = 0
    for number in range(config.forks):
        for indices in _rounds(forks):
            played = _play([forks[i] for i in indices], make_collector, params, number)
            for index, after in zip(indices, played, strict=True):
                if after is not None:
                    earned[index].append(_total(after))
                    tokens += _tokens_after(after, forks[index].turn)
    calls = 0
    credit = 0.0
    for index, returns in earned.items():
        if returns:
            fork = forks[index]
            own = _total(fork.episode) - sum(returns) / len(returns)
            credit_NT[fork.row, turn_positions(fork.episode, fork.turn)] = config.weight * own / config.share
            calls, credit = calls + 1, credit + own
    forks_played = sum(map(len, earned.values()))
    return credit_NT, {"calls": calls, "credit": credit, "forks": forks_played, "fork_tokens": tokens}


def turn_positions(episode: Trajectory, turn: int) -> list[int]:
    """Where the tokens of a turn stand in the stream."""
    sampled = [position for position, mine in enumerate(episode.stream.loss_mask) if mine]
    before = sum(len(each.completion.token_ids) for each in episode.turns[:turn])
    return sampled[before : before + len(episode.turns[turn].completion.token_ids)]


def _drawn(episode: Trajectory, config: ForkConfig) -> bool:
    """By a lot that depends on nothing but the episode and the seed."""
    words = [config.seed, episode.seed, *episode.sample.id.encode()]
    return bool(np.random.default_rng(words).random() < config.share)


def _forks(episode: Trajectory, row: int) -> list[Fork]:
    calls = enumerate(forkable_calls(episode))
    return [Fork(episode=episode, row=row, turn=turn, results_before=before) for before, turn in calls]


def _rounds(forks: Sequence[Fork]) -> list[list[int]]:
    """Indices of forks that may be played together: an episode's seed names it, so one fork of each."""
    rounds: list[list[int]] = []
    taken: list[set[int]] = []
    for index, fork in enumerate(forks):
        place = next((i for i, seeds in enumerate(taken) if fork.episode.seed not in seeds), len(rounds))
        if place == len(rounds):
            rounds.append([])
            taken.append(set())
        rounds[place].append(index)
        taken[place].add(fork.episode.seed)
    return rounds


def _play(
    forks: Sequence[Fork], make_collector: MakeForkCollector, params: SamplingParams, number: int
) -> list[Trajectory | None]:
    """The forks, played to their end; None for one that did not repeat its episode up to the call."""
    collector = make_collector(forks, number)
    seeds = [fork.episode.seed for fork in forks]
    played = collector.collect([fork.episode.sample for fork in forks], params, seeds=seeds)
    return [after if _repeats(fork, after) else None for fork, after in zip(forks, played, strict=True)]


def _repeats(fork: Fork, after: Trajectory) -> bool:
    """Whether a fork has the episode's tokens up to the end of its call."""
    end = turn_positions(fork.episode, fork.turn)[-1] + 1
    same = fork.episode.stream.token_ids[:end] == after.stream.token_ids[:end]
    if not same:
        notice("a fork did not repeat its episode and gives no credit", f"question {fork.episode.sample.id}")
    return same


def _total(episode: Trajectory) -> float:
    return episode.reward.total if episode.reward else 0.0


def _tokens_after(episode: Trajectory, turn: int) -> int:
    return sum(len(each.completion.token_ids) for each in episode.turns[turn + 1 :])
