"""A run has its folder to itself, and touches no folder that is not a run's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.run_folder import prepare_folder
from medvista.app.run_lock import run_lock
from medvista.errors import UserError

HOLD = """
import sys
from pathlib import Path
from medvista.app.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("resume", ["false", "true", "stages"])
def test_a_folder_with_a_thesis_in_it_stays_where_it_is(
    resume: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mydata"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    (folder / "config.yaml").write_text("title: thesis\n")
    assert main(["experiment=smoke", f"output_dir={folder}", f"resume={resume}"]) == 2
    assert "holds files that are no run's" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mydata"]
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert (folder / "config.yaml").read_text() == "title: thesis\n"


def test_a_log_that_was_opened_for_the_run_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "slurm-7.out").write_text("started")
    prepare_folder(load_config([f"output_dir={tmp_path / 'run'}"]))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.yaml", "slurm-7.out"]


def test_a_second_run_in_the_folder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    with (
        pytest.raises(UserError, match=rf"run is in use by another run \(process {process.pid} on .*\)"),
        run_lock(tmp_path / "run"),
    ):
        pass
    process.communicate("")
    with run_lock(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    process.kill()
    process.wait()
    assert (tmp_path / ".run.lock").exists()
    with run_lock(tmp_path / "run"):
        assert str(os.getpid()) in (tmp_path / ".run.lock").read_text()


def test_a_run_that_holds_its_folder_is_not_moved_under_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_folder(load_config([f"output_dir={tmp_path / 'run'}"]))
    process = holder(tmp_path / "run")
    code = main(["experiment=smoke", f"output_dir={tmp_path / 'run'}", f"cache_dir={tmp_path / 'cache'}"])
    process.communicate("")
    assert code == 2
    assert "is in use by another run" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.yaml").exists()
