"""Every objective has the same gradients in two processes as in one, whatever of it is a number of the whole update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from medvista.policies import VLMPolicy
from medvista.rl_settings import ObjectiveName
from medvista.rollout import RolloutCollector
from medvista.types import VQASample
from tests.ranks.launching import launch
from tests.ranks.recorded import Case, Outcome, played

UPDATES = 4
PARTS = 150  # tokens: row by row
CASES = [
    *(Case(None, 1, 0.0, "all", objective=objective) for objective in get_args(ObjectiveName)),
    Case(None, 1, 0.0, "all", kl_placement="reward"),  # of GRPO, which has it in the loss
    Case(None, 2, 0.0, "all", objective="ppo"),  # values and standard scores of an update that takes two steps
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(
    schooled: VLMPolicy,
    questions: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A policy and batches of one to four of its groups; a reference that finds some tokens likelier, some less so."""
    folder = tmp_path_factory.mktemp("objectives")
    schooled.save_pretrained(folder / "policy")
    batches = played(make_collector(schooled), questions, UPDATES)
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        noise = torch.randn(batch.old_log_probs.shape, generator=generator)
        batch.reference_log_probs = batch.old_log_probs + 0.3 * noise
    torch.save({"batches": batches, "cases": CASES, "budgets": (PARTS,)}, folder / "recorded.pt")
    return folder


@pytest.fixture(scope="module")
def replayed(folder: Path) -> dict[str, dict[tuple[Case, int], Outcome]]:
    """What all cases left behind in one process and in two."""
    for strategy, world in (("auto", 1), ("ddp", 2)):
        launch("replay.py", folder, world, strategy)
    return {strategy: torch.load(folder / f"{strategy}.pt", weights_only=False) for strategy in ("auto", "ddp")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.objective}, {case.minibatches}, {case.kl_placement}")
def test_two_processes_have_the_gradients_of_one(
    replayed: dict[str, dict[tuple[Case, int], Outcome]], schooled: VLMPolicy, case: Case
) -> None:
    expected, found = (replayed[strategy][case, PARTS] for strategy in ("auto", "ddp"))
    assert len(expected.norms) == UPDATES * case.minibatches
    assert found.norms == pytest.approx(expected.norms, rel=1e-4, abs=1e-6)
    before = schooled.state_dict()
    moved = max(
        float((weights - before[name]).abs().max()) for name, weights in expected.weights.items() if name in before
    )
    assert moved > 1e-5  # or nothing was compared
    for name, weights in expected.weights.items():
        assert torch.allclose(found.weights[name], weights, rtol=1e-5, atol=1e-4 * moved), name
    assert any("value" in name for name in expected.weights) == (case.objective == "ppo")
