"""The benchmarks of rollouts and of the environment measure what they say."""

from __future__ import annotations

import json

import pytest

from benchmarks import environment, rollout
from benchmarks.forced_episodes import Played, Rollouts, questions, random_nano
from benchmarks.rollout import COMPARED, FEW, INSTANT, MANY, MIXED, SLOW, figures
from medvista.policies import VLMPolicy
from medvista.types import VQASample


@pytest.fixture(scope="module")
def samples() -> list[VQASample]:
    return questions(2)


@pytest.fixture(scope="module")
def policy(samples: list[VQASample]) -> VLMPolicy:
    return random_nano(samples)


def test_each_image_is_encoded_once_and_each_token_fed_once(samples: list[VQASample], policy: VLMPolicy) -> None:
    rollouts = Rollouts(policy, samples, siblings=3, looks=2, tokens=3)
    for _ in range(2):
        played = rollouts.play()
        assert played.encodes_per_image == 1
        assert played.fed_per_token == 1


def test_slow_tools_are_slept(samples: list[VQASample], policy: VLMPolicy) -> None:
    played = Rollouts(policy, samples[:1], siblings=1, looks=1, tokens=2, tool_ms=300).play()
    assert played.seconds > 0.3
    assert played.seconds - played.cpu_s > 0.15


def test_ratios_are_of_throughput_and_of_seconds_per_episode() -> None:
    seconds = {INSTANT: 1.0, SLOW: 2.0, MIXED: 4.0, FEW: 1.0, MANY: 3.0}
    played = {
        kind: [Played(seconds=seconds[kind], cpu_s=1.0, encodes_per_image=1.0, fed_per_token=1.0)] for kind in COMPARED
    }
    found = figures(played)
    assert (found["slow_tool_ratio"], found["mixed_tool_ratio"], found["scaling_128_over_32"]) == (0.5, 0.25, 0.75)


@pytest.mark.slow
def test_the_last_line_of_the_benchmark_of_rollouts_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    rollout.main(["--repeats", "1", "--tokens", "2", "--no-table"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["encodes_per_image"] == 1
    assert found["slow_tool_ratio"] > 0


def test_the_last_line_of_the_benchmark_of_the_environment_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    environment.main(["--episodes", "3"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["overhead_ms_p50"] > 0
