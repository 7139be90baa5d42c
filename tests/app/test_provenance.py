"""Where a run's numbers come from: found where it can be, never in the way of the run."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from medvista.app.provenance import device_name, environment, git_state, package_versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose package is committed."""
    package = tmp_path / "clone" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(package, "init", "-q")
    git(package, "add", ".")
    git(package, "commit", "-qm", "first")
    return package


def test_a_clone_says_its_commit_and_whether_its_files_are_as_committed(clone: Path) -> None:
    commit = git(clone, "rev-parse", "HEAD")
    assert git_state(clone) == (commit, True)
    (clone / "notes.txt").write_text("of nobody's concern")
    assert git_state(clone) == (commit, True)
    (clone / "__init__.py").write_text("changed = True")
    assert git_state(clone) == (commit, False)


def test_a_package_installed_below_another_clone_is_not_of_that_clone(clone: Path) -> None:
    installed = clone / "site-packages" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed) == (None, None)


def test_without_git_the_commit_is_not_known(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(clone) == (None, None)


def test_the_environment_is_plain_values_and_says_what_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment("cpu")
    assert json.loads(json.dumps(found)) == found
    assert (found["device"], found["python"]) == ("cpu", platform.python_version())
    assert (
        found["packages"]["torch"] == torch.__version__.split("+")[0] or found["packages"]["torch"] == torch.__version__
    )
    assert found["cores"] >= 1
    assert found["processor"]


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert package_versions(["numpy", "no-such-package-here"]).keys() == {"numpy"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_named_as_it_was_given() -> None:
    assert device_name("cuda:0") == "cuda:0"
