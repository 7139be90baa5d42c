"""Adapters, gradient checkpointing and 16-bit precision do in two processes what they do in one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from medvista.policies import Loading, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.settings import LoRAConfig
from medvista.types import VQASample
from tests.ranks.launching import launch
from tests.ranks.recorded import RANK, Case, Outcome, played

pytest.importorskip("peft")
UPDATES = 4
ONE = "auto"
WORLD = {ONE: 1, "ddp": 2, "fsdp2": 2}  # processes under each strategy
PARTS = 150  # tokens: row by row
TOLERANCE = 1e-5  # of a norm, and of the largest move of a weight
CASES = [
    Case("sequence", 1, 0.0, "some", adapters=True),
    Case("sequence", 1, 1.0, "some", gradient_checkpointing=True),
    # With a picture in each row: under fsdp2 others stand beside a blank one, and their sums are rounded otherwise.
    Case("token", 4, 0.0, "all", precision="bf16-mixed"),
    Case("token", 4, 0.0, "all", adapters=True, dtype="bfloat16", precision="bf16-mixed", gradient_checkpointing=True),
]
Replayed = dict[tuple[Case, int], Outcome]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(
    schooled: VLMPolicy,
    questions: list[VQASample],
    make_collector: Callable[..., RolloutCollector],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A policy, adapters of it that already count, and batches of its episodes."""
    folder = tmp_path_factory.mktemp("options")
    schooled.save_pretrained(folder / "policy")
    policy = VLMPolicy.from_pretrained(folder / "policy", Loading(lora=LoRAConfig(rank=RANK)))
    torch.manual_seed(1)
    for name, parameter in policy.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.02)
    policy.save_pretrained(folder / "adapters")
    batches = played(make_collector(schooled), questions, UPDATES)
    torch.save({"batches": batches, "cases": CASES, "budgets": (PARTS,)}, folder / "recorded.pt")
    return folder


@pytest.fixture(scope="module")
def replayed(folder: Path) -> Callable[[str], Replayed]:
    """From a strategy to what all cases left behind under it."""

    @cache
    def under(strategy: str) -> Replayed:
        launch("replay.py", folder, WORLD[strategy], strategy)
        found: Replayed = torch.load(folder / f"{strategy}.pt", weights_only=False)
        return found

    return under


@pytest.mark.parametrize("strategy", [strategy for strategy in WORLD if strategy != ONE])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_end_as_in_one_process(
    replayed: Callable[[str], Replayed], folder: Path, strategy: str, case: Case
) -> None:
    expected, found = replayed(ONE)[case, PARTS], replayed(strategy)[case, PARTS]
    before = VLMPolicy.from_pretrained(folder / ("adapters" if case.adapters else "policy"), case.loading).state_dict()
    moved = {name: float((weights - before[name]).abs().max()) for name, weights in expected.weights.items()}
    assert max(moved.values()) > 1e-3  # or nothing was compared
    if case.adapters:
        assert {name for name, by in moved.items() if by} == {name for name in moved if ".lora_" in name}
    assert found.norms == pytest.approx(expected.norms, rel=TOLERANCE)
    for name, weights in expected.weights.items():
        assert found.weights[name].dtype == weights.dtype
        assert torch.allclose(
            found.weights[name], weights, rtol=TOLERANCE if moved[name] else 0.0, atol=TOLERANCE * moved[name]
        ), name
