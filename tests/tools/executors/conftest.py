"""Tools that misbehave, and batched ones, made within functions so that they travel to workers by value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import pytest

from medvista.tools import Tool, tool
from medvista.types import MedicalImage, ToolCall, ToolResult


@pytest.fixture(scope="session")
def moody() -> Tool:
    """A tool that does what it is told: behave (and say in which process), or do harm."""

    @tool
    def moody(images, mood: str = "good", path: str = "") -> ToolResult:
        """Do as told."""
        import ctypes
        import os
        import subprocess
        import sys
        import time
        from pathlib import Path

        import numpy as np

        def hoard():
            kept = []
            while True:
                kept.append(np.empty(2**22))  # 32 MB, as the limit counts

        def wait_for(path):
            while not Path(path).exists():
                time.sleep(0.005)

        def start_another(path):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(path).write_text(str(child.pid))
            time.sleep(600)

        harm = {
            "hang": lambda: time.sleep(600),
            "hoard": hoard,
            "raise": lambda: 1 / 0,
            "leave": lambda: sys.exit(3),
            "end": lambda: os._exit(3),
            "kill": lambda: os.kill(os.getpid(), 9),
            "segfault": lambda: ctypes.string_at(0),
            "wait": lambda: wait_for(path),
            "start another": lambda: start_another(path),
        }
        if mood == "babble":
            return lambda: None
        if mood in harm:
            harm[mood]()
        return ToolResult(text=str(os.getpid()))

    return moody


@pytest.fixture(scope="session")
def image() -> MedicalImage:
    """16-bit pixels, large enough to travel in shared memory."""
    pixels = np.random.default_rng(0).integers(0, 4096, (400, 300)).astype(np.uint16)
    return MedicalImage(pixels=pixels, modality="CR")


@pytest.fixture
def call() -> Callable[..., ToolCall]:
    """Makes a call of a tool."""
    return lambda name, **arguments: ToolCall(name=name, arguments=arguments)


@pytest.fixture
def in_thread() -> Callable[..., Future]:
    """Runs a function in a thread; its future."""

    def start(function, *arguments):
        future = Future()

        def work():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    return start
