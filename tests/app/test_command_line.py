"""The command line as a person meets it: what it prints, and one sentence with exit code 2 for every mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medvista.app.config import command_line
from medvista.app.config.composition import CONF_DIR, list_experiments
from medvista.app.config.schema import ExperimentConfig

ROOT = Path(__file__).parent.parent.parent


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a mistaken command line is answered."""

    def must_not_run(config: ExperimentConfig) -> None:
        raise AssertionError(f"ran {config}")

    assert command_line.main(must_not_run, arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sead=1"], "Unknown key `sead` on the command line: did you mean `seed`?"),
        (["data.rot=/tmp"], "Unknown key `data.rot` on the command line: did you mean `data.root`?"),
        (["root=/tmp"], "Unknown key `root` on the command line: did you mean `data.root`?"),
        (["data=3"], "`data` on the command line is a section, not a value"),
        (["seed.x=3"], "`seed` on the command line has no keys of its own: it is a whole number."),
        (["seed=abc"], "`seed` on the command line must be a whole number, not 'abc'."),
        (["seed=1.5"], "`seed` on the command line must be a whole number, not 1.5."),
        (["seed="], "`seed` on the command line must be a whole number, not null."),
        (["resume=maybe"], "`resume` on the command line must be one of false, true, 'stages', not 'maybe'."),
        (["seed=[1"], "`seed=[1` cannot be read"),
        (["seed"], "`seed` has no `=`: overrides are written key=value; did you mean `seed=...`?"),
        (["nano"], "`nano` has no `=`: overrides are written key=value; did you mean `experiment=nano`?"),
        (["=3"], "`=3` names no key"),
        (["data..root=3"], "`data..root=3` names no key"),
        (["experiment=nanoo"], "Unknown experiment `nanoo`: did you mean `nano`?"),
        (["experiment=mine/none.yaml"], "experiment=mine/none.yaml: there is no such file"),
        (["--lst"], "Unknown flag `--lst`: did you mean `--list`?"),
        (["--seed=3"], "Unknown flag `--seed=3`: keys are set without dashes, as in `seed=...`."),
        (["--seed=3", "--help"], "Unknown flag `--seed=3`"),
        (["sead=1", "--print-config"], "did you mean `seed`?"),
        (["--help", "rl.learning_rate"], "Unknown key `rl.learning_rate`: did you mean `rl.optimiser.learning_rate`?"),
        (["rl.reward={accuracy:1.0}"], "has no value: YAML wants a space after the colon, as in `accuracy: 1.0`."),
        (["rl={updates:3}"], "has no value: YAML wants a space after the colon, as in `updates: 3`."),
        (["rl.reward=accuracy"], "`rl.reward` on the command line must be a mapping such as {name: number}"),
        (["rl.temperature=0"], "`rl.temperature` on the command line must be above 0, not 0."),
        (["sft.expert.jitter_share=1.5"], "must be at least 0, at most 1, not 1.5."),
        (["sft.optimiser.betas=[0.9,2]"], "must be at least 0, at most 1, not 2."),
        (["rl.updates=0.5"], "`rl.updates` on the command line must be a whole number, not 0.5."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(arguments, capsys)
    assert sentence in answer
    assert answer.count("\n") == 1


def test_a_mistake_of_the_run_itself_is_answered_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: ExperimentConfig) -> None:
        raise command_line.UserError("The folder /nowhere is not there: set data.root=.")

    assert command_line.main(run, []) == 2
    assert capsys.readouterr().err == "error: The folder /nowhere is not there: set data.root=.\n"


def test_a_bug_is_not_disguised_as_a_mistake() -> None:
    def run(config: ExperimentConfig) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        command_line.main(run, [])


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: ExperimentConfig) -> None:
        raise KeyboardInterrupt

    assert command_line.main(run, []) == 130
    assert "resume=true" in capsys.readouterr().err


def test_the_run_is_handed_the_typed_experiment() -> None:
    handed: list[ExperimentConfig] = []
    assert command_line.main(handed.append, ["seed=3", "data.root=/data"]) == 0
    assert isinstance(handed[0], ExperimentConfig)
    assert handed[0].seed == 3
    assert handed[0].data.root == Path("/data")
    assert handed[0].experiment == "nano"


@pytest.mark.parametrize("flag", ["--help", "--list", "--print-config", "--json-schema"])
def test_who_stops_reading_is_not_told_of_a_broken_pipe(flag: str) -> None:
    command = f"{sys.executable} -m experiments.run {flag} | true"
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_list_names_every_shipped_experiment_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(lambda config: None, ["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in CONF_DIR.glob("*.yaml"))
    assert all(len(line.split()) > 3 for line in lines), "each YAML says in `description:` what it is"


@pytest.mark.parametrize("name", list_experiments())
def test_what_print_config_prints_is_the_same_experiment(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = tmp_path / "printed.yaml"
    assert command_line.main(lambda config: None, [f"experiment={name}", "--print-config"]) == 0
    printed.write_text(capsys.readouterr().out)
    assert command_line.load_config([f"experiment={printed}"]) == command_line.load_config([f"experiment={name}"])


def test_the_module_runs_from_a_clone_and_exits_with_the_code() -> None:
    command = [sys.executable, "-m", "experiments.run", "sead=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: Unknown key `sead` on the command line: did you mean `seed`?\n"
