"""`task=evaluate` in real processes: killed and resumed, shared by two, and beside its baselines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medvista.app.commands.run import main
from medvista.data.trajectories import read_trajectories
from medvista.evaluation.numbers.results_file import read_results
from medvista.policies import VLMPolicy
from medvista.tools import SUBSTITUTED

ROOT = Path(__file__).parents[2]
QUESTIONS = 16  # four families on four phantoms
TABLES = ("arms", "comparisons", "counterfactuals", "evidence", "chance", "leakage")


@pytest.fixture(scope="session")
def command(schooled: VLMPolicy, nano: VLMPolicy, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that evaluate a policy of 70,000 parameters that calls tools, and errs."""
    folder = tmp_path_factory.mktemp("policies")
    schooled.save_pretrained(folder / "trained")
    nano.save_pretrained(folder / "untrained")
    return [
        "experiment=evaluate",
        f"policy.path={folder / 'trained'}",
        f"policy.untrained={folder / 'untrained'}",
        "benchmarks=[phantom]",
        "data={train_images: 4, test_images: 4}",
        "env={tools: [zoom], view_size: 32, max_turns: 3, prompt: names}",
        "max_new_tokens=24",
        "evaluation={resamples: 50, batch_size: 4}",
        "trainer={accelerator: cpu, threads: 1}",
        f"cache_dir={folder / 'cache'}",
    ]


@pytest.fixture(scope="session")
def evaluated(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation that one process finished undisturbed."""
    run = tmp_path_factory.mktemp("evaluations") / "undisturbed"
    assert main([*command, f"output_dir={run}"]) == 0
    return run


def start(arguments: list[str], *launcher: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, "-m", "experiments.run", *arguments]
    return subprocess.Popen(
        line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def tables(run: Path) -> str:
    """The parts of results.json that do not say how long it took."""
    results = json.loads((run / "results.json").read_text())
    return json.dumps({name: results[name] for name in TABLES}, indent=1)


def test_baselines_stand_beside_the_policy_and_are_compared_with_it(evaluated: Path) -> None:
    results = read_results(evaluated / "results.json")
    baselines = ["majority", "lookup", "blanked", "tools_off", "tools_untrained"]
    assert list(results.arms) == [*baselines, "policy"]
    for arm in results.arms:
        score = results.score(arm, "phantom", "greedy")
        assert score is not None
        assert score.n == QUESTIONS
        assert {"accuracy", "open_recall"} <= score.measures.keys()
        assert set(score.slices) == {"modality", "question_type", "answer_type"}
    assert [c.baseline for c in results.comparisons if c.arm == "policy"] == baselines
    assert all(c.p_holm is not None for c in results.comparisons)


def test_whether_the_tool_mattered_is_told_in_every_place(evaluated: Path) -> None:
    results = read_results(evaluated / "results.json")
    assert [found.change for found in results.counterfactuals] == ["blank", "shuffled", "random"]
    policy = results.score("policy", "phantom", "greedy")
    for found in results.counterfactuals:
        assert policy is not None
        assert (found.overall.n, found.overall.accuracy) == (QUESTIONS, policy.accuracy)
        assert found.overall.ci95[0] <= found.overall.difference <= found.overall.ci95[1]
    replayed = list(read_trajectories(evaluated / "trajectories" / "test" / "phantom-policy.blank-greedy.jsonl"))
    assert replayed
    assert all(any(turn.result and SUBSTITUTED in turn.result.data for turn in t.turns) for t in replayed)
    assert "Did the tool matter?" in (evaluated / "report.html").read_text()


def test_an_evaluation_killed_in_the_middle_goes_on_and_repeats_nothing(
    command: list[str], evaluated: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    part = run / "trajectories" / "test" / "phantom-policy-greedy.jsonl.rank0"
    process = start([*command, f"output_dir={run}", "evaluation.batch_size=1"])
    try:
        wait_until(lambda: part.exists() and part.read_bytes().count(b"\n") >= 5, process)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    lines = part.read_bytes().splitlines(keepends=True)
    finished = [line for line in lines if line.endswith(b"\n")]
    assert 5 <= len(finished) < QUESTIONS, "it was not killed in the middle: the test says nothing"
    earlier = {path.name: path.stat().st_mtime_ns for path in part.parent.glob("*.jsonl")}

    assert main([*command, f"output_dir={run}", "resume=true"]) == 0
    whole = part.with_suffix("").read_bytes().splitlines(keepends=True)
    assert whole[: len(finished)] == finished, "a finished question was played again"
    assert len({json.loads(line)["sample"]["id"] for line in whole}) == len(whole) == QUESTIONS
    assert not list(part.parent.glob("*.rank*"))
    assert {name: (part.parent / name).stat().st_mtime_ns for name in earlier} == earlier
    assert tables(run) == tables(evaluated)


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(command: list[str], evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    process = start([*command, f"output_dir={run}"], *torchrun)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert tables(run) == tables(evaluated)
    assert output.count("results.json   numbers") == 1, "only one process prints"
    for name in ("phantom-policy-greedy.jsonl", "phantom-policy.shuffled-greedy.jsonl"):
        ours, theirs = (read_ids(folder / "trajectories" / "test" / name) for folder in (run, evaluated))
        assert ours == theirs


@pytest.mark.slow
def test_processes_that_the_trainer_starts_give_the_same_table(
    command: list[str], evaluated: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start([*command, f"output_dir={run}", "trainer.devices=2"])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert tables(run) == tables(evaluated)


def test_other_settings_are_not_mixed_into_an_interrupted_evaluation(
    command: list[str], evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, f"output_dir={evaluated}", "resume=true", "max_new_tokens=25"]) == 2
    assert "max_new_tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["benchmarks=[]"], "benchmarks=["),
        (["policy.path=null"], "policy.path"),
        (["benchmarks=[phantoms]"], "there is no benchmark 'phantoms'"),
        (["evaluation.arms=[policies]"], "did you mean 'policy'"),
        (["evaluation.counterfactuals=[blanks]"], "did you mean 'blank'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    command: list[str], overrides: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *overrides, f"output_dir={tmp_path / 'run'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def read_ids(path: Path) -> list[tuple[str, str | None, int]]:
    return [(t.sample.id, t.answer, t.seed) for t in read_trajectories(path)]


def wait_until(happened: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
