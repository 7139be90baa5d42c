"""A headless Chromium, driven over its DevTools pipe: what tests, measurements and screenshots of pages need of it.

No driver and no package stands between: Chromium reads commands as JSON from file descriptor 3 and answers on 4.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",  # containers have no user namespaces; only files of our own are opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_KEYS = {"ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Escape": 27, "Enter": 13}


def find_chromium() -> str | None:
    """The command of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def open_chromium() -> Iterator[Page]:
    """A page of a fresh Chromium, which ends with the block; everything it wrote is gone afterwards.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    command = find_chromium()
    if command is None:
        raise FileNotFoundError("no chromium, chromium-browser or google-chrome is on the path")
    (command_read, command_write), (answer_read, answer_write) = os.pipe(), os.pipe()
    # Above 9, so that neither end is overwritten while the child moves its ends to 3 and 4.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (command_read, answer_write)]

    def take_ends() -> None:
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [command, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=take_ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (command_read, answer_write, *ends):
            os.close(end)
        try:
            yield Page(_Pipe(command_write, answer_read))
        finally:
            os.close(command_write)  # Chromium ends with its pipe
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
            os.close(answer_read)


class Page:
    """One tab."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def open(self, address: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Load a page at a size in pixels, from scratch, also where only the part after ``#`` differs."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        for each in ("about:blank", address):
            self._call("Page.navigate", url=each)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for.

        Raises:
            RuntimeError: the script threw.
        """
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "a script threw"))
        return answer["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: it was not in time.
        """
        end = time.monotonic() + seconds
        while not self._holds(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:g} s: {condition}")
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press a key, as a person does."""
        code = _KEYS.get(key, ord(key.upper()[0]))
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: Path) -> None:
        """Save what is in sight as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.run(f"Boolean({condition})"))  # an element itself would not travel
        except RuntimeError:  # what it speaks of is not there yet
            return False

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._pipe.call(method, session=self._session, **arguments)


class _Pipe:
    """Commands and answers, each a JSON text that ends with a zero byte."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._numbers = itertools.count(1)
        self._rest = b""

    def call(self, method: str, *, session: str | None = None, seconds: float = 120, **arguments: Any) -> Any:
        """Give a command and wait for its answer; events in between are dropped."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": arguments, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while (answer := json.loads(self._next(seconds))).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError(f"Chromium said nothing for {seconds:g} s")
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                raise ConnectionError("Chromium has ended")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return message
