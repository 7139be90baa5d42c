"""How the runs of a sweep are started: in order, a few at a time, as jobs; and what becomes of one that stops."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from medvista.app.config.command_line import load_config
from medvista.app.config.schema import ExperimentConfig
from medvista.app.sweep import launch, slurm
from medvista.app.sweep.job import Job
from medvista.app.sweep.launch import run_locally
from medvista.app.sweep.parts import Part
from medvista.app.sweep.slurm import run_on_slurm
from medvista.errors import UserError

# What a run leaves for this test: its name at the end of a list, so that the order of the runs can be read.
_SCRIPT = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); sys.exit(int(sys.argv[3]))"


@dataclass(frozen=True, kw_only=True)
class Stub(Part):
    """A run that writes its name, and ends with a code."""

    order: Path
    code: int = 0

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", _SCRIPT, str(self.order), self.name, str(self.code)]


@pytest.fixture
def order(tmp_path: Path) -> Path:
    return tmp_path / "order.txt"


@pytest.fixture(autouse=True)
def nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of this file train no stage."""
    for module in (launch, slurm):
        monkeypatch.setattr(module, "hand_over", lambda part: None)


def stub(tmp_path: Path, order: Path, name: str, after: Sequence[Stub] = (), code: int = 0) -> Stub:
    handed = {f"stage-{number}": run.folder for number, run in enumerate(after)}
    folder = tmp_path / name
    given = {"variant": name, "seed": 0, "arms": ("sft",), "overrides": ()}
    return Stub(name=name, folder=folder, handed=handed, order=order, code=code, **given)


def diamond(tmp_path: Path, order: Path, code: int = 0) -> list[Stub]:
    """A shared run, two that go on from it, and one on its own."""
    shared = stub(tmp_path, order, "shared", code=code)
    others = [stub(tmp_path, order, name, [shared]) for name in ("grpo", "gspo")]
    return [shared, *others, stub(tmp_path, order, "alone")]


def test_a_run_waits_for_the_one_that_trains_a_stage_for_it(tmp_path: Path, order: Path) -> None:
    reached: list[int] = []
    assert run_locally(diamond(tmp_path, order), [], 3, lambda: reached.append(1)) == []
    names = order.read_text().split()
    assert set(names) == {"shared", "grpo", "gspo", "alone"}
    assert names.index("shared") < min(names.index("grpo"), names.index("gspo"))
    assert len(reached) == 4


def test_a_run_that_stops_ends_those_that_need_it_and_no_other(tmp_path: Path, order: Path) -> None:
    stopped = run_locally(diamond(tmp_path, order, code=3), [], 2, lambda: None)
    assert [(part.name, problem.split(",")[0]) for part, problem in stopped] == [
        ("shared", "stopped with code 3"),
        ("grpo", "a run that trains a stage for it stopped"),
        ("gspo", "a run that trains a stage for it stopped"),
    ]
    assert sorted(order.read_text().split()) == ["alone", "shared"]


def test_what_is_done_is_not_run_again(tmp_path: Path, order: Path) -> None:
    parts = diamond(tmp_path, order)
    assert run_locally(parts, parts[:2], 2, lambda: None) == []
    assert sorted(order.read_text().split()) == ["alone", "gspo"]


def config(tmp_path: Path) -> ExperimentConfig:
    return load_config(["experiment=smoke", f"output_dir={tmp_path}", "sweep={experiment: smoke, seeds: [0]}"])


@pytest.mark.slow
def test_jobs_run_wave_by_wave_through_submitit(tmp_path: Path, order: Path) -> None:
    pytest.importorskip("submitit")
    parts = diamond(tmp_path, order, code=0)
    broken = stub(tmp_path, order, "broken", code=4)
    stopped = run_on_slurm([*parts, broken], [], config(tmp_path), lambda: None, cluster="local")
    names = order.read_text().split()
    assert set(names) == {"shared", "grpo", "gspo", "alone", "broken"}
    assert names.index("shared") < min(names.index("grpo"), names.index("gspo"))
    assert [(part.name, problem.split(",")[0]) for part, problem in stopped] == [("broken", "stopped with code 4")]


def test_a_job_that_is_taken_away_goes_on_in_a_new_one() -> None:
    pytest.importorskip("submitit")
    again = Job(["echo"]).checkpoint()
    assert again.function.command == ["echo"]


def test_without_a_cluster_or_submitit_one_sentence_says_so(
    tmp_path: Path, order: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))  # a machine without sbatch
    with pytest.raises(UserError, match=r"sweep\.launcher=slurm: there is no SLURM here"):
        run_on_slurm([stub(tmp_path, order, "alone")], [], config(tmp_path), lambda: None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'medvista\[slurm\]'"):
        run_on_slurm([stub(tmp_path, order, "alone")], [], config(tmp_path), lambda: None)
