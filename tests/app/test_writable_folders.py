"""A folder that cannot be written is told at once, in a sentence, and trying leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medvista.app.config.checks import check_writable
from medvista.app.config.composition import compose
from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError


def config(*overrides: str) -> ExperimentConfig:
    return compose(ExperimentConfig, ["experiment=smoke", *overrides])


@pytest.mark.parametrize("key", ["output_dir", "cache_dir"])
@pytest.mark.parametrize("inside", ["", "/deep/er"])
def test_a_file_is_no_folder(key: str, inside: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folders = {"output_dir": tmp_path / "runs", "cache_dir": tmp_path / "cache", key: f"{tmp_path}/notes.txt{inside}"}
    with pytest.raises(UserError, match=rf"{key}=.*notes\.txt is a file; give another {key}\."):
        check_writable(config(*(f"{name}={folder}" for name, folder in folders.items())))
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write, root included")
@pytest.mark.parametrize("key", ["output_dir", "cache_dir", "policy.endpoint.cache_dir"])
def test_a_folder_that_cannot_be_made_is_named(key: str, tmp_path: Path) -> None:
    folders = {"output_dir": tmp_path / "runs", "cache_dir": tmp_path / "cache", key: "/proc/self/runs"}
    with pytest.raises(UserError, match=f"{key}=/proc/self/runs cannot be written") as raised:
        check_writable(config(*(f"{name}={folder}" for name, folder in folders.items())))
    assert "\n" not in str(raised.value)


def test_a_dangling_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="output_dir"):
        check_writable(config(f"output_dir={tmp_path}/runs/a", f"cache_dir={tmp_path}"))


def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(config(f"output_dir={tmp_path}/new/run", f"cache_dir={tmp_path}/cache"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_would_be_moved_aside_is_looked_at_too(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text("{}")
    check_writable(config(f"output_dir={run}", f"cache_dir={tmp_path}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
