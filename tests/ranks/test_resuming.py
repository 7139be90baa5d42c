"""A checkpoint of any strategy and any number of processes is gone on with under any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from medvista.policies import VLMPolicy
from medvista.types import Trajectory
from tests.ranks.launching import launch

WORLD = {"auto": 1, "ddp": 2, "fsdp2": 2}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(
    schooled: VLMPolicy, demonstrations: list[Trajectory], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What one process leaves after eight steps without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    schooled.save_pretrained(folder / "policy")
    torch.save([episode.stream for episode in demonstrations], folder / "streams.pt")
    launch("resume.py", folder, 1, "auto", "8")
    return folder


@pytest.mark.parametrize(
    ("before", "after"),
    [("fsdp2", "fsdp2"), ("fsdp2", "auto"), ("fsdp2", "ddp"), ("auto", "fsdp2"), ("ddp", "auto")],
)
def test_a_run_goes_on_as_if_it_had_not_stopped(
    undisturbed: Path, schooled: VLMPolicy, tmp_path: Path, before: str, after: str
) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(undisturbed, folder, ignore=shutil.ignore_patterns("last.ckpt", "*.pt"))
    shutil.copy(undisturbed / "streams.pt", folder)
    launch("resume.py", folder, WORLD[before], before, "4")
    launch("resume.py", folder, WORLD[after], after, "8")
    expected, found = torch.load(undisturbed / "8.pt"), torch.load(folder / "8.pt")
    halfway = torch.load(folder / "4.pt")
    for name, weights in schooled.state_dict().items():
        moved = float((expected[name] - weights).abs().max())
        assert torch.allclose(found[name], expected[name], rtol=1e-5, atol=1e-2 * moved + 1e-7), name
    assert (
        max(float((expected[name] - halfway[name]).abs().max()) for name in expected) > 1e-3
    )  # or nothing was resumed
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["state_dict"].keys() == {f"policy.{name}" for name in expected if ".visual." not in name}  # frozen
    assert not any("DTensor" in type(weights).__name__ for weights in saved["state_dict"].values())
