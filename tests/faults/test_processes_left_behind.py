"""A tool's call that is ended takes with it whatever the tool has started, sessions and orphans too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medvista.settings import ToolLimits
from medvista.tools import Toolbox, tool
from medvista.tools.executors.processes import ProcessExecutor
from medvista.types import MedicalImage, ToolCall, ToolErrorType, ToolResult

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]
IMAGES = (MedicalImage(pixels=np.zeros((8, 8), dtype=np.uint8)),)
SLEEP = f"{sys.executable} -c 'import time; time.sleep(600)'"


@tool
def starter(images, note: str, orphan: bool) -> ToolResult:  # type: ignore[no-untyped-def]
    """Start a program in a session of its own, and hang.

    Args:
        note: file for the number of the process.
        orphan: whether who started it ends first.
    """
    command = f"setsid {SLEEP} & echo $! > {note}.tmp; mv {note}.tmp {note}" + ("" if orphan else "; wait")
    subprocess.Popen(["sh", "-c", command], start_new_session=True)
    time.sleep(600)
    return ToolResult()


@pytest.mark.parametrize("orphan", [False, True])
def test_nothing_that_a_tool_has_started_outlives_its_call(orphan: bool, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with ProcessExecutor(ToolLimits(timeout_s=4.0)) as executor:
        call = ToolCall(name="starter", arguments={"note": str(note), "orphan": orphan})
        result = Toolbox([starter], executor=executor).run(call, IMAGES)
    assert result.error is not None
    assert result.error.type is ToolErrorType.TIMEOUT
    pid = int(note.read_text())
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
