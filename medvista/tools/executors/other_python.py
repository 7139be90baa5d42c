"""Workers under another interpreter: a tool whose packages do not go together with those of the run."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import medvista
from medvista.errors import UserError
from medvista.tools.base import Tool
from medvista.tools.executors.pool_executor import pickled

_CODE = Path(__file__).with_name("lent_package.py")
_NEEDED = "numpy scipy pillow pydicom nibabel gymnasium jsonschema referencing cloudpickle"  # of medvista, for a worker
_CHECK_TIMEOUT_S = 120.0


class OtherPython:
    """A process of another interpreter that serves one tool, in the manner of `multiprocessing.Process`.

    Args:
        python: the interpreter.
        connection: to it, inherited by the process.
        memory_mb: see `serve`.
    """

    def __init__(self, python: str, connection: socket.socket, memory_mb: int | None) -> None:
        # The process ends when this end of the pipe closes, and it closes when this process ends, however that ends.
        theirs, self._ours = os.pipe()
        fds = (connection.fileno(), theirs)
        arguments = [*map(str, fds), str(memory_mb or "")]
        try:
            self._process = subprocess.Popen([*_command(python), *arguments], pass_fds=fds, stdin=subprocess.DEVNULL)
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def check_python(tool: Tool, python: str) -> None:
    """Whether an interpreter can run a tool; it imports what the tool imports, and reads no weights.

    Raises:
        UserError: it cannot, and why.
    """
    key = f"env.tools_limits.{tool.name}.python={python}"
    try:
        found = subprocess.run(
            [*_command(python), "check"],
            input=pickled(tool),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{key} cannot be started ({error}): give the path of a Python interpreter.") from None
    if found.returncode:
        said = found.stdout.decode(errors="replace").strip() or f"exit code {found.returncode}"
        raise UserError(
            f"{key} cannot run the tool ({said}): there have to be importable what the tool imports, and for medvista, "
            f"which is lent to it: {python} -m pip install {_NEEDED}."
        )


def _command(python: str) -> list[str]:
    return [python, "-c", _CODE.read_text(), str(Path(medvista.__file__).absolute())]
