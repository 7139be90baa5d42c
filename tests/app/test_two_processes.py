"""A whole run on two processes: one folder, one writer, every question answered, and it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medvista.data.trajectories import read_trajectories

ROOT = Path(__file__).parents[2]
ARMS = ("direct", "sft", "sft_longer", "sft_rejection", "sft_rl")
TWO = ["trainer.devices=2", "trainer.strategy=ddp", f"arms=[{','.join(ARMS)}]"]
# One validation question for two processes, an odd number of episodes per update, groups that are played again.
UNEVEN = ["data.validation_images=1", "data.families=[attribute]", "rl.refill_rounds=2", "rl.grpo.minibatches=3"]


def start(arguments: list[str], *launcher: str) -> str:
    line = [sys.executable, *launcher, "-m", "experiments.run", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("launched_by", ["lightning", "torchrun"])
def test_two_processes_make_one_run(tiny: list[str], tmp_path: Path, launched_by: str) -> None:
    run = tmp_path / "runs" / "two"
    uneven = UNEVEN if launched_by == "torchrun" else []
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    cache = f"cache_dir={tmp_path / 'cache'}"
    launcher = torchrun if launched_by == "torchrun" else []
    said = start([*tiny, *TWO, *uneven, cache, f"output_dir={run}"], *launcher)
    assert list(run.parent.iterdir()) == [run]  # nobody moved it aside
    assert said.count("results.json") == 1
    results = json.loads((run / "results.json").read_text())
    assert set(results["arms"]) == set(ARMS)
    answered = {
        arm: [t.sample.id for t in read_trajectories(run / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl")]
        for arm in ARMS
    }
    asked = answered["direct"]
    assert len(asked) == len(set(asked)) > 1
    assert all(ids == asked for ids in answered.values())
    assert not list(run.rglob("*.rank*"))
    rl = json.loads((run / "checkpoints" / "sft_rl" / "done.json").read_text())
    episodes = 4 * 3 * 4  # updates, questions and siblings: of the world, not of a process
    assert rl["episodes"] >= episodes if uneven else rl["episodes"] == episodes
    rejection = json.loads((run / "checkpoints" / "sft_rejection" / "done.json").read_text())
    assert rejection["generated_tokens"] >= rl["generated_tokens"]


@pytest.mark.slow
def test_a_mistake_that_the_leader_finds_ends_every_process(tiny: list[str], tmp_path: Path) -> None:
    line = [sys.executable, "-m", "experiments.run", *tiny, *TWO, "rl.prompts=1", f"output_dir={tmp_path / 'run'}"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "rl.prompts=1 is too few for 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()
