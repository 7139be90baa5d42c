"""A whole run on two processes: one folder, one writer, every question answered, and it ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from medvista.data.trajectories import read_trajectories
from medvista.types import Trajectory

ROOT = Path(__file__).parents[2]
ARMS = ("direct", "sft", "sft_longer", "sft_rejection", "sft_rl")
TWO = ["trainer.devices=2", f"arms=[{','.join(ARMS)}]"]
# One validation question for two processes, an odd number of episodes per update, groups that are played again.
UNEVEN = ["data.validation_images=1", "data.families=[attribute]", "rl.refill_rounds=2", "rl.grpo.minibatches=3"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
SLURM = {"NTASKS": "2", "NNODES": "1", "NODELIST": "localhost", "NODEID": "0", "JOB_ID": "7", "JOB_NAME": "medvista"}


def start(arguments: list[str], launched_by: str) -> str:
    """What a run says that comes to its end, as its launcher starts it."""
    line = [sys.executable, *(TORCHRUN if launched_by == "torchrun" else []), "-m", "experiments.run", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if launched_by != "slurm":
        return said(line, [environment])
    tasks = {f"SLURM_{name}": value for name, value in SLURM.items()}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1])}
    of_rank = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
    return said(line, [environment | tasks | where | own for own in of_rank])


def said(line: list[str], environments: list[dict[str, str]]) -> str:
    started = [
        subprocess.Popen(line, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for env in environments
    ]
    try:
        outputs = [process.communicate(timeout=900) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(started), outputs
    return "".join(out for out, _ in outputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launched_by", "strategy", "uneven"),
    [
        ("lightning", "ddp", []),
        ("lightning", "fsdp2", []),
        ("torchrun", "ddp", UNEVEN),
        ("slurm", "fsdp2", [*UNEVEN, "trainer.micro_batch_tokens=600"]),
    ],
)
def test_two_processes_make_one_run(
    tiny: list[str], tmp_path: Path, launched_by: str, strategy: str, uneven: list[str]
) -> None:
    run = tmp_path / "runs" / "two"
    cache = f"cache_dir={tmp_path / 'cache'}"
    told = start([*tiny, *TWO, f"trainer.strategy={strategy}", *uneven, cache, f"output_dir={run}"], launched_by)
    assert list(run.parent.iterdir()) == [run]  # nobody moved it aside
    assert told.count("results.json") == 1
    results = json.loads((run / "results.json").read_text())
    assert set(results["arms"]) == set(ARMS)
    answered = {arm: [t.sample.id for t in episodes(run, arm)] for arm in ARMS}
    asked = answered["direct"]
    assert len(asked) == len(set(asked)) > 1
    assert all(ids == asked for ids in answered.values())
    assert not list(run.rglob("*.rank*"))
    rl = json.loads((run / "checkpoints" / "sft_rl" / "done.json").read_text())
    played = 4 * 3 * 4  # updates, questions and siblings: of the world, not of a process
    assert rl["episodes"] >= played if uneven else rl["episodes"] == played
    rejection = json.loads((run / "checkpoints" / "sft_rejection" / "done.json").read_text())
    assert rejection["generated_tokens"] >= rl["generated_tokens"]


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(finished: Path, tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "evaluated"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "trajectories" / "test")
    start([*tiny, "resume=true", "trainer.devices=2", f"output_dir={run}"], "lightning")
    before, after = (json.loads((folder / "results.json").read_text()) for folder in (finished, run))
    assert len(after["arms"]) > len(ARMS)
    assert after["arms"] == before["arms"]
    for arm in ARMS:
        pairs = zip(episodes(run, arm), episodes(finished, arm), strict=True)
        assert all(words(ours) == words(theirs) for ours, theirs in pairs)


def words(episode: Trajectory) -> list[str]:
    return [turn.completion.text for turn in episode.turns]


def episodes(run: Path, arm: str) -> list[Trajectory]:
    return list(read_trajectories(run / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl"))


@pytest.mark.slow
def test_a_mistake_that_the_leader_finds_ends_every_process(tiny: list[str], tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "experiments.run",
        *tiny,
        *TWO,
        "trainer.strategy=ddp",
        "rl.prompts=1",
        f"output_dir={tmp_path / 'run'}",
    ]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "rl.prompts=1 is too few for 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()
