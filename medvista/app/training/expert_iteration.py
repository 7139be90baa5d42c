"""Expert iteration: sample, keep what was right, fine-tune on it, again."""

from __future__ import annotations

import time
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medvista.app.arms import WITH_TOOLS
from medvista.app.players import Players
from medvista.app.training.stage_record import StageRecord
from medvista.app.training.supervised import train_sft
from medvista.functional.episodes import correct
from medvista.policies import SamplingParams, VLMPolicy
from medvista.policies.evaluation_mode import evaluation_mode
from medvista.ranks import gathered, rank, world_size
from medvista.types import TokenStream, Trajectory


class _Sampled(NamedTuple):
    """What the processes tell each other of an episode."""

    stream: TokenStream
    correct: bool
    benchmark: str


def iterate_expert(players: Players, folder: Path, policy: VLMPolicy, *, budget: int) -> StageRecord:
    """Trains `policy` in place until the budget is spent, each round on all that was kept so far.

    As in STaR (arXiv 2203.14465) and ReST-EM (arXiv 2312.06585), but continuing from the cold start.

    Args:
        players: of the run.
        folder: of the stage; each round trains in a folder below.
        policy: the policy to start from.
        budget: tokens that may be generated, those of RL.
    """
    rejection, sft = players.config.rejection, players.config.sft
    start = time.perf_counter()
    kept: list[_Sampled] = []
    spent = episodes = steps = 0
    with players.progress.stage(folder.name, rejection.rounds, "round") as shown:
        for round_index in range(rejection.rounds):
            shown.reach(round_index)
            target = budget * (round_index + 1) // rejection.rounds
            played = _sample_until(players, policy, target - spent, round_index)
            spent += _sampled_tokens(played)
            episodes += len(played)
            kept += [episode for episode in played if episode.correct]
            if not kept:  # nothing was right yet, so there is nothing to learn from
                continue
            more = max(1, rejection.epochs * len(kept) // sft.batch_size)
            streams, of = [episode.stream for episode in kept], [episode.benchmark for episode in kept]
            into = folder / f"round-{round_index}"
            train_sft(players, into, policy, streams, sft, WITH_TOOLS, steps=more, benchmarks=of)
            steps += more
    return StageRecord(seconds=time.perf_counter() - start, steps=steps, episodes=episodes, generated_tokens=spent)


def _sample_until(players: Players, policy: VLMPolicy, tokens: int, round_index: int) -> list[_Sampled]:
    """Episodes of training questions, as many as the tokens allow, of all processes and in each."""
    config, train = players.config, players.questions.train
    collector = players.collector(policy, WITH_TOOLS)
    rng = np.random.default_rng((config.seed, round_index))
    params = SamplingParams(max_new_tokens=config.max_new_tokens, temperature=config.rl.temperature)
    played: list[_Sampled] = []
    with evaluation_mode(policy):
        while _sampled_tokens(played) < tokens:
            chosen = rng.choice(len(train), config.rl.prompts, replace=False).tolist()
            bad = players.questions.image_check.unreadable([train[index] for index in chosen])
            chosen = [index for place, index in enumerate(chosen) if place not in bad]
            samples = [train[index] for index in chosen for _ in range(config.rl.group_size)]
            seeds = rng.integers(2**31, size=len(samples)).tolist()
            own = range(rank(), len(samples), world_size())
            share = collector.collect([samples[i] for i in own], params, seeds=[seeds[i] for i in own])
            played += _in_order(gathered([_sampled(episode) for episode in share]))
    return played


def _sampled(episode: Trajectory) -> _Sampled:
    return _Sampled(episode.stream, correct(episode), episode.sample.benchmark)


def _in_order(shares: list[list[_Sampled]]) -> list[_Sampled]:
    """As one process would have played them: the processes took the episodes in turn."""
    return [episode for turn in zip_longest(*shares) for episode in turn if episode is not None]


def _sampled_tokens(played: list[_Sampled]) -> int:
    return sum(sum(episode.stream.loss_mask) for episode in played)
