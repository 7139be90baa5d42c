"""A process that is lost in the middle of a run ends the others, soon and with a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ["sft.steps=4", "arms=[sft_rl]", "trainer.devices=2"]
pytestmark = pytest.mark.slow


def lose(
    tiny: list[str], folder: Path, rank: int, how: str, strategy: str, *launcher: str, more: tuple[str, ...] = ()
) -> str:
    """What a run says whose process `rank` is lost at the second update; a hang is an error."""
    script = str(ROOT / "tests" / "app" / "losing.py")
    settings = [*tiny, *SHORT, *more, f"trainer.strategy={strategy}", f"output_dir={folder / 'run'}"]
    done = subprocess.run(
        [sys.executable, *launcher, script, str(rank), how, *settings],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert (folder / "run" / "checkpoints" / "sft" / "done.json").exists()  # it was not lost before RL
    assert not (folder / "run" / "checkpoints" / "sft_rl" / "done.json").exists()
    return done.stderr


def test_the_leader_says_that_a_process_was_killed(tiny: list[str], tmp_path: Path) -> None:
    said = lose(tiny, tmp_path, 1, "kill", "fsdp2")
    # Whichever it notices first: the process that is gone, or that nobody answers.
    by_signal = "error: process 1 of this run was ended by SIGKILL, so all end" in said
    assert by_signal or "error: process 0 ends, because another one has ended" in said
    assert "resume=true goes on from the last checkpoint" in said


def test_the_leader_says_that_a_process_has_failed_and_that_one_says_why(tiny: list[str], tmp_path: Path) -> None:
    said = lose(tiny, tmp_path, 1, "raise", "ddp")
    assert "RuntimeError: out of luck" in said
    assert "process 0 ends, because another one has ended" in said or "process 1 of this run has ended with" in said


def test_the_others_say_that_the_leader_was_lost(tiny: list[str], tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    said = lose(tiny, tmp_path, 0, "kill", "ddp", *torchrun)
    assert "process 1 ends, because another one has ended" in said or "Signal 9 (SIGKILL)" in said  # torchrun is first


def test_a_process_that_hangs_ends_the_run_with_the_stage_it_hung_in(tiny: list[str], tmp_path: Path) -> None:
    said = lose(tiny, tmp_path, 1, "stop", "ddp", more=("trainer.timeout_minutes=0.5",))
    assert "has not come within trainer.timeout_minutes=0.5 to where this one waits for it, which is in sft_rl" in said
    assert "Traceback" not in said
