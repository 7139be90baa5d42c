"""The runs of a sweep on this machine, a few at a time; one that stops leaves the others going."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from medvista.app.sweep.hand_over import hand_over
from medvista.app.sweep.parts import Part

Reached = Callable[[], None]  # called when a run has ended well
Failures = list[tuple[Part, str]]  # the runs that stopped, and why


def run_locally(parts: Sequence[Part], done: Sequence[Part], workers: int, reached: Reached) -> Failures:
    """Runs what is not done, each run after those that hand it a stage.

    Args:
        parts: of the sweep, each behind those that it needs.
        done: those that have ended before.
        workers: runs at a time.
        reached: called after each run that ended well.
    """
    processes = _Processes()
    pool = ThreadPoolExecutor(workers)
    waiting: dict[Path, Future[str]] = {}
    try:
        for part in (part for part in parts if part not in done):
            # Futures begin in this order, so what a run waits for has begun before it: no worker waits in vain.
            before = [waiting[folder] for folder in {*part.handed.values()} if folder in waiting]
            waiting[part.folder] = pool.submit(_run_after, before, part, processes)
        for future in as_completed(waiting.values()):
            if not future.result():
                reached()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end()
        raise
    finally:
        pool.shutdown()
    return failures(parts, {folder: future.result() for folder, future in waiting.items()})


def failures(parts: Sequence[Part], stopped: dict[Path, str]) -> Failures:
    """The runs that stopped, in their order, from ``stopped``: folder -> why, empty where the run ended well."""
    return [(part, stopped[part.folder]) for part in parts if stopped.get(part.folder)]


class _Processes:
    """Those that run, so that they end with the sweep."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(self, command: Sequence[str], log: Path) -> int:
        """The exit code of a command whose output goes to the end of a file."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            with self._lock:
                if self._ended:
                    return -1
                process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def end(self) -> None:
        """Asks all of them to save and end."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def _run_after(before: Sequence[Future[str]], part: Part, processes: _Processes) -> str:
    """Why the run stopped; empty where it ended well."""
    if any(future.result() for future in before):
        return "a run that trains a stage for it stopped"
    hand_over(part)
    code = processes.run(part.command, part.folder / "log.txt")
    return f"stopped with code {code}, see {part.folder / 'log.txt'}" if code else ""
