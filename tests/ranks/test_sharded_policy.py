"""A policy whose weights two processes share computes, learns and is saved as a whole one is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medvista.policies import SamplingParams, VLMPolicy
from medvista.policies.sharding import gathered, is_sharded, whole
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import TrajectoryGroup, VQASample
from tests.ranks.launching import launch


@pytest.mark.slow
def test_two_processes_hold_one_policy(
    schooled: VLMPolicy,
    questions: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    tmp_path: Path,
) -> None:
    played = make_collector(schooled).collect(questions[:3], SamplingParams(max_new_tokens=24), seeds=[1, 2, 3])
    torch.save(
        ExperienceBatch.from_groups([TrajectoryGroup(trajectories=[t]) for t in played]), tmp_path / "recorded.pt"
    )
    schooled.save_pretrained(tmp_path / "policy")
    launch("sharded.py", tmp_path, 2)


def test_a_policy_of_one_process_is_whole(nano: VLMPolicy) -> None:
    assert not is_sharded(nano)
    assert whole(nano) is nano
    with gathered(nano) as policy:
        assert policy is nano
