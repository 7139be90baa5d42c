"""Reading any benchmark by its name: one of `medvista.data.registry`, or the YAML file of your own question set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from medvista.data.benchmark_files import data_root
from medvista.data.own_benchmark import OwnBenchmark, load_own_benchmark
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.registry import BENCHMARKS
from medvista.errors import UserError
from medvista.types import Split, VQASample


def has_split(name: str, split: Split) -> bool:
    """Whether a benchmark has a split, official or carved, be its files there or not.

    Raises:
        UserError: there is no such benchmark, or its YAML file is malformed.
    """
    if is_own(name):
        return split in own_benchmark(name).files
    return split in BENCHMARKS[check_name(name)].splits


def is_own(name: str) -> bool:
    """Whether a name is the path of a YAML file that describes a question set of one's own."""
    return Path(name).suffix in (".yaml", ".yml")


def benchmark_name(name: str) -> str:
    """What results and files call a benchmark: its name here, or the one its YAML file gives.

    Raises:
        UserError: the YAML file is missing or malformed.
    """
    return own_benchmark(name).name if is_own(name) else name


def results_names(given: Sequence[str]) -> dict[str, str]:
    """What results call each of several benchmarks -> its name as given.

    Raises:
        UserError: two would have one name, so that the questions of one would be lost.
    """
    names: dict[str, str] = {}
    for each in given:
        other = names.setdefault(benchmark_name(each), each)
        if other != each:
            raise UserError(f"{other} and {each} are both called {benchmark_name(each)!r}: give one another `name`")
    return names


def own_benchmark(name: str) -> OwnBenchmark:
    """The question set that a YAML file describes.

    Raises:
        UserError: the file is missing or malformed, or gives the name of another benchmark.
    """
    own = load_own_benchmark(Path(name).expanduser())
    if own.name in (*BENCHMARKS, PHANTOM):
        raise UserError(f"{name}: {own.name!r} is the name of another benchmark, and is scored like it: change `name`")
    return own


def read_benchmark(name: str, root: str | Path | None, split: Split) -> list[VQASample]:
    """The samples of one split of a benchmark.

    Args:
        name: a key of `BENCHMARKS`, or the path of a YAML file (`medvista.data.own_benchmark`).
        root: the data root; None takes ``MEDVISTA_DATA``. A YAML file needs none where its files are beside it.
        split: which split.

    Raises:
        UserError: no benchmark has this name (the nearest one is given), it has no such split, or its files are missing
            or malformed.
    """
    if is_own(name):
        return own_benchmark(name).read(split, root or os.environ.get("MEDVISTA_DATA"))
    return BENCHMARKS[check_name(name)].read(data_root(root), split)


def check_name(name: str) -> str:
    """The name, which must be a benchmark's.

    Raises:
        UserError: it is not; the nearest one is given.
    """
    if name not in BENCHMARKS:
        near = get_close_matches(name.lower().replace("-", "_"), BENCHMARKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(BENCHMARKS))}"
        raise UserError(f"there is no benchmark {name!r}: {hint}")
    return name
