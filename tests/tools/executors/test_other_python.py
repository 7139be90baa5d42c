"""Tools under another interpreter, with a module that only its environment has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import Toolbox, tool
from medvista.tools.executors import make_executor
from medvista.tools.executors.other_python import OtherPython, check_python
from medvista.types import ToolErrorType, ToolResult

TIMEOUT_S = 3.0


def make_venv(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    return python.parent.parent / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with numpy and the like, borrowed from this one, and a module of its own."""
    made = make_venv(tmp_path_factory.mktemp("other") / "venv")
    (site_packages(made) / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    (site_packages(made) / "only_there.py").write_text("ANSWER = 42\n")
    return made


@pytest.fixture(scope="module")
def foreign():
    """A tool that imports what this interpreter lacks."""

    @tool
    def foreign(images) -> ToolResult:
        """Say where it runs and what it sees."""
        import sys

        from only_there import ANSWER

        return ToolResult(text=f"{sys.prefix} {ANSWER} {int(images[0].pixels.sum())}")

    return foreign


def test_a_tool_runs_under_its_own_interpreter_and_others_under_the_runs(python, foreign, moody, image, call):
    with make_executor("processes", per_tool={"foreign": ToolLimits(python=str(python))}) as executor:
        toolbox = Toolbox([foreign, moody], executor=executor)
        result = toolbox.run(call("foreign"), (image,))
        assert result.text == f"{python.parent.parent} 42 {int(image.pixels.sum(dtype=np.int64))}"
        assert toolbox.run(call("moody"), (image,)).ok
    error = Toolbox([foreign]).run(call("foreign"), (image,)).error
    assert "No module named 'only_there'" in error.message


@pytest.mark.parametrize(
    ("mood", "kind", "said"),
    [
        ("hang", ToolErrorType.TIMEOUT, "took longer than 3 s"),
        ("kill", ToolErrorType.CRASHED, "killed by SIGKILL"),
    ],
)
def test_a_worker_that_hangs_or_dies_is_replaced_as_any_other(python, moody, image, call, mood, kind, said):
    limits = {"moody": ToolLimits(python=str(python), timeout_s=TIMEOUT_S, concurrency=1)}
    with make_executor("processes", per_tool=limits) as executor:
        toolbox = Toolbox([moody], executor=executor)
        first = toolbox.run(call("moody"), (image,))
        error = toolbox.run(call("moody", mood=mood), (image,)).error
        assert (error.type, said in error.message) == (kind, True)
        assert not Path(f"/proc/{first.text}").exists()
        assert toolbox.run(call("moody"), (image,)).ok


def test_a_process_ends_with_its_parent_even_before_it_was_sent_a_tool(python):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = OtherPython(str(python), theirs, None)
        time.sleep(0.2)
        assert process.is_alive()
        os.close(process._ours)  # as the system does when this process ends
        process._ours = -1
        process.join(timeout=60)
        assert not process.is_alive()


def test_what_is_missing_there_is_said_in_one_sentence_before_the_run(python, foreign, tmp_path):
    check_python(foreign, str(python))
    bare = make_venv(tmp_path / "bare")
    with pytest.raises(
        UserError, match=r"foreign\.python=.* cannot run the tool \(ModuleNotFoundError: No module .*pip"
    ):
        check_python(foreign, str(bare))
    with pytest.raises(UserError, match=r"cannot be started .*: give the path of a Python interpreter"):
        check_python(foreign, str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["threads", "ray"])
def test_only_processes_can_be_of_another_interpreter(name, python):
    if name == "ray":
        pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"env\.tools_executor=processes"):
        make_executor(name, per_tool={"zoom": ToolLimits(python=str(python))})
