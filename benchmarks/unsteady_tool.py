"""A tool that does what it is told, most of it harm: what `benchmarks.soak` calls."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medvista.tools import Tool, tool
from medvista.types import MedicalImage, ToolErrorType, ToolResult

TIMEOUT, FAILED, CRASHED = ToolErrorType.TIMEOUT, ToolErrorType.FAILED, ToolErrorType.CRASHED
MEMORY = ToolErrorType.OUT_OF_MEMORY

# What a call of each mood may come to. A worker that is killed for its memory is told of as crashed.
MOODS: Mapping[str, Sequence[ToolErrorType]] = {
    "hang": (TIMEOUT,),
    "hang with children": (TIMEOUT,),
    "die slowly": (CRASHED, TIMEOUT),
    "hoard": (MEMORY, CRASHED, TIMEOUT),
    "raise": (FAILED,),
    "leave": (FAILED,),
    "end": (CRASHED,),
    "kill": (CRASHED,),
    "segfault": (CRASHED,),
    "no result": (FAILED,),
    "no pixels": (FAILED,),
    "cannot travel": (FAILED,),
    "half a character": (),
    "a megabyte": (),
}


@tool
def unsteady(images: Sequence[MedicalImage], mood: str = "good") -> ToolResult:
    """Do as told.

    Args:
        images: of the episode.
        mood: what to do.
    """
    harm: Mapping[str, Callable[[], Any]] = {
        "hang": _hang,
        "hang with children": lambda: _hang(subprocess.Popen(["sleep", "617"], start_new_session=True)),
        "die slowly": _die_slowly,
        "hoard": _hoard,
        "raise": lambda: 1 // 0,
        "leave": lambda: sys.exit(3),
        "end": lambda: os._exit(3),
        "kill": lambda: os.kill(os.getpid(), 9),
        "segfault": lambda: ctypes.string_at(0),
        "no result": lambda: {"text": "not a result"},
        "no pixels": lambda: ToolResult(text="", images=("picture",)),  # type: ignore[arg-type]
        "cannot travel": lambda: lambda: None,
        "half a character": lambda: ToolResult(text="\ud83d", data={"\ud83d": 10**5000}),
        "a megabyte": lambda: ToolResult(text="text " * 200_000),
    }
    if mood in harm:
        return harm[mood]()
    return ToolResult(text=f"{len(images)} images")


def _hang(*children: object) -> None:
    time.sleep(600)


def _die_slowly() -> None:
    time.sleep(0.3)
    os._exit(4)


def _hoard() -> None:
    kept = []
    while True:
        kept.append(np.ones(2**22))


UNSTEADY: Tool = unsteady
