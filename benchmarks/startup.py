"""How long a person waits before a run says something.

Run it on a quiet machine, in half a minute:

    python -m benchmarks.startup

Each command is started anew several times. The last line is JSON, medians in seconds by the clock:

* ``help_s``: ``python -m experiments.run --help`` until it has ended: at most 1;
* ``list_s``: ``python -m experiments.run --list``, likewise;
* ``first_line_s``: ``python -m experiments.run experiment=smoke`` until its first line is there: at most 3. The run is
  then ended.

Seconds of the processor stand beside those of commands that end; on a busy machine they say more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

RUN = (sys.executable, "-m", "experiments.run")


def until_end(*arguments: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a command takes."""
    begun, used = time.perf_counter(), _used()
    subprocess.run([*RUN, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun, _used() - used


def until_first_line(*arguments: str) -> tuple[float, float]:
    """Seconds until a command writes a line, by the clock; it is killed then, so what it used is not known."""
    begun = time.perf_counter()
    with subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - begun
        process.kill()
    if not said.strip():
        raise RuntimeError(f"{' '.join(arguments)} ended without a line")
    return seconds, float("nan")


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description="Seconds before anything is said."
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each command (%(default)s)")
    repeats = parser.parse_args(arguments).repeats
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        run = partial(until_first_line, "experiment=smoke", f"output_dir={folder}/run", f"cache_dir={folder}/cache")
        measured: dict[str, Callable[[], tuple[float, float]]] = {
            "help_s": partial(until_end, "--help"),
            "list_s": partial(until_end, "--list"),
            "first_line_s": run,
        }
        print(f"{'':>13}{'clock':>8}{'processor':>11}")
        for name, measure in measured.items():
            times = [measure() for _ in range(repeats)]
            figures[name] = median(clock for clock, _ in times)
            print(f"{name:>13}{figures[name]:>8.2f}{median(used for _, used in times):>11.2f}", flush=True)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
