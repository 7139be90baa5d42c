"""The demonstrations that supervised fine-tuning learns from: the user's own, or a scripted expert's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from medvista.app.arms import Conditions
from medvista.app.config.sft_schema import SFTConfig
from medvista.app.players import Players
from medvista.data.expert import ScriptedExpert
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.functional.episodes import correct
from medvista.policies import SamplingParams, VLMPolicy
from medvista.ranks import agreed, led
from medvista.rollout import tokenize_trajectory
from medvista.types import TokenStream, Trajectory


def demonstrations(
    players: Players, sft: SFTConfig, conditions: Conditions, path: Path, base: Callable[[], VLMPolicy]
) -> list[Trajectory]:
    """The user's own demonstrations (``sft.path``), or the expert's, played once and kept.

    Args:
        players: of the run.
        sft: how many, and by which expert.
        conditions: with tools or without.
        path: where the expert's demonstrations are kept.
        base: gives the policy whose tokenizer renders the episodes.
    """
    if sft.file is None and agreed(not path.exists()):
        led(lambda: write_trajectories(path, _demonstrate(players, sft, conditions, base())))
    return list(read_trajectories(sft.file or path))


def _demonstrate(players: Players, sft: SFTConfig, conditions: Conditions, policy: VLMPolicy) -> list[Trajectory]:
    train, seed = players.questions.train, players.config.seed
    chosen = np.random.default_rng(seed).choice(len(train), min(sft.demonstrations, len(train)), replace=False)
    engine = players.expert_engine(policy, ScriptedExpert(sft.expert, tools=conditions.tools != "none"))
    samples = [train[index] for index in chosen]
    seeds = [seed * 1_000_003 + index for index in range(len(samples))]
    played = players.collector(policy, conditions, engine).collect(samples, SamplingParams(), seeds=seeds)
    return [trajectory for trajectory in played if correct(trajectory)]  # checked: a wrong answer teaches nothing


def token_streams(
    players: Players, policy: VLMPolicy, trajectories: Sequence[Trajectory], conditions: Conditions, sft: SFTConfig
) -> list[TokenStream]:
    """Demonstrations as the token streams that a rollout under these conditions would have made of them."""
    renderer = players.collector(policy, conditions).renderer
    assert renderer is not None
    unique = {id(one): one for one in trajectories}  # those of a rare mode are there several times
    streams = {name: tokenize_trajectory(one, renderer, mistakes=sft.learn_mistakes) for name, one in unique.items()}
    return [streams[id(one)] for one in trajectories]
