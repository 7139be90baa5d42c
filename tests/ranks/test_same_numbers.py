"""One update is the same in one process and in two, whatever each of them holds of its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from medvista.policies import VLMPolicy
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import VQASample
from tests.ranks.launching import launch
from tests.ranks.recorded import BUDGETS, CASES, Case, Outcome, played

UPDATES = 20
ONE = "auto"
WORLD = {ONE: 1, "ddp": 2, "fsdp2": 2}  # processes under each strategy
Replayed = dict[tuple[Case, int], Outcome]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> list[ExperienceBatch]:
    """Batches of one to four groups of two siblings, of unequal turns and lengths."""
    batches = played(make_collector(schooled), questions, UPDATES)
    assert len({batch.token_ids.shape for batch in batches}) > 5
    assert len({len(t.turns) for batch in batches for t in batch.trajectories}) > 1
    return batches


@pytest.fixture(scope="module")
def replayed(
    recorded: list[ExperienceBatch], schooled: VLMPolicy, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Replayed]:
    """From a strategy to what all cases left behind under it, at every budget."""
    folder = tmp_path_factory.mktemp("replays")
    schooled.save_pretrained(folder / "policy")
    torch.save({"batches": recorded, "cases": CASES}, folder / "recorded.pt")

    @cache
    def under(strategy: str) -> Replayed:
        launch("replay.py", folder, WORLD[strategy], strategy, timeout=600)
        found: Replayed = torch.load(folder / f"{strategy}.pt", weights_only=False)
        return found

    return under


@pytest.mark.parametrize("strategy", WORLD)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_batches_give_the_same_gradients_and_weights(
    replayed: Callable[[str], Replayed], schooled: VLMPolicy, strategy: str, case: Case
) -> None:
    expected = replayed(ONE)[case, 0]
    assert len(expected.norms) == UPDATES * case.minibatches
    assert max(expected.norms) > 1e-2
    before = schooled.state_dict()
    moved = {name: float((weights - before[name]).abs().max()) for name, weights in expected.weights.items()}
    assert max(moved.values()) > 1e-3  # or nothing was compared
    assert any(moved[name] for name in moved if "visual" in name) == bool(case.vision_learning_rate)
    for tokens in BUDGETS:
        found = replayed(strategy)[case, tokens]
        assert found.norms == pytest.approx(expected.norms, rel=1e-5, abs=1e-6)
        for name, weights in expected.weights.items():
            assert torch.allclose(found.weights[name], weights, rtol=1e-5, atol=1e-5 * max(moved.values())), name


@pytest.mark.parametrize("strategy", WORLD)
def test_steps_were_made_of_one_two_and_four_parts(replayed: Callable[[str], Replayed], strategy: str) -> None:
    for case in CASES:
        if case.minibatches == 1:
            most = [max(replayed(strategy)[case, tokens].parts) for tokens in BUDGETS]
            assert most[0] == 1
            assert most[1] >= 2
            assert most[2] >= 4
