"""The demonstrations that supervised fine-tuning learns from: the user's own, or a scripted expert's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from medvista.app.arms import Conditions
from medvista.app.config.sft_schema import SFTConfig
from medvista.app.players import Players
from medvista.data.bad_data import leaving_out
from medvista.data.checksums import check_files, write_checksums
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
        led(lambda: _keep(path, _demonstrate(players, sft, conditions, base())))
    if sft.file is not None:
        return own_demonstrations(players, sft.file)
    checksum = path.with_suffix(".sha256")
    check_files(checksum, f"delete it and {checksum.name}, and it is played again")
    return list(read_trajectories(path))


def _keep(path: Path, played: Sequence[Trajectory]) -> None:
    write_trajectories(path, played)
    write_checksums(path.with_suffix(".sha256"), [path])


def own_demonstrations(players: Players, path: Path) -> list[Trajectory]:
    """The user's own demonstrations, but for lines that cannot be used and may be left out.

    Raises:
        UserError: the file is missing, or has more such lines than ``data.max_bad_fraction`` allows.
    """
    bad = players.questions.bad_demonstrations(path)
    with leaving_out(bad):
        found = list(read_trajectories(path))
    bad.total = len(found) + len(bad.found)
    bad.check()
    return found


def _demonstrate(players: Players, sft: SFTConfig, conditions: Conditions, policy: VLMPolicy) -> list[Trajectory]:
    train, seed = players.questions.train, players.config.seed
    chosen = np.random.default_rng(seed).choice(len(train), min(sft.demonstrations, len(train)), replace=False)
    engine = players.expert_engine(policy, ScriptedExpert(sft.expert, tools=conditions.tools != "none"))
    drawn = [train[index] for index in chosen]
    bad = players.questions.image_check.unreadable(drawn)
    places = [place for place in range(len(drawn)) if place not in bad]
    samples, seeds = [drawn[place] for place in places], [seed * 1_000_003 + place for place in places]
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
