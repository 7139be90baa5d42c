"""One update is the same in one process and in two, whatever each of them holds of its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import TrajectoryGroup, VQASample
from tests.ranks.launching import launch

UPDATES = 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> list[ExperienceBatch]:
    """Batches of one to four groups of two siblings, of unequal turns and lengths."""
    collector = make_collector(schooled)
    batches = []
    for update in range(UPDATES):
        asked = [questions[(update + group) % len(questions)] for group in range(1 + update % 4) for _ in range(2)]
        params = SamplingParams(max_new_tokens=24, temperature=1.0)
        played = collector.collect(asked, params, seeds=[100 * update + row for row in range(len(asked))])
        groups = [TrajectoryGroup(trajectories=played[row : row + 2]) for row in range(0, len(played), 2)]
        batch = ExperienceBatch.from_groups(groups)
        batch.rewards = torch.arange(len(batch)) % 3 / 2
        batch.reference_log_probs = batch.old_log_probs - 0.1
        batches.append(batch)
    assert len({batch.token_ids.shape for batch in batches}) > 5
    assert len({len(t.turns) for batch in batches for t in batch.trajectories}) > 1
    return batches


@pytest.mark.parametrize(
    ("grpo", "vision_learning_rate"),
    [
        ({"aggregation": "sequence", "minibatches": 1}, 0.0),
        ({"aggregation": "token", "minibatches": 2}, 0.0),
    ],
)
def test_recorded_batches_give_the_same_gradients_and_weights(
    recorded: list[ExperienceBatch],
    schooled: VLMPolicy,
    tmp_path: Path,
    grpo: dict[str, Any],
    vision_learning_rate: float,
) -> None:
    schooled.save_pretrained(tmp_path / "policy")
    told = {"batches": recorded, "grpo": grpo, "vision_learning_rate": vision_learning_rate}
    torch.save(told, tmp_path / "recorded.pt")
    for world in (1, 2):
        launch("replay.py", tmp_path, world)
    one, two = (torch.load(tmp_path / f"{world}.pt") for world in (1, 2))
    assert len(one["norms"]) == UPDATES * grpo["minibatches"]
    assert max(one["norms"]) > 1e-2
    assert two["norms"] == pytest.approx(one["norms"], rel=1e-5, abs=1e-6)
    before = schooled.state_dict()
    moved = max(float((one["weights"][name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-3  # or nothing was compared
    for name, weights in one["weights"].items():
        assert torch.allclose(two["weights"][name], weights, rtol=1e-5, atol=1e-5 * moved + 1e-6), name
