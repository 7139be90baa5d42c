"""Reading any benchmark by its name: one of `medvista.data.registry`, or the YAML file of your own question set."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from medvista.data.benchmark_files import data_root
from medvista.data.own_benchmark import load_own_benchmark
from medvista.data.registry import BENCHMARKS
from medvista.errors import UserError
from medvista.types import Split, VQASample


def has_split(name: str, split: Split) -> bool:
    """Whether a benchmark has a split, official or carved, be its files there or not.

    Raises:
        UserError: there is no such benchmark, or its YAML file is malformed.
    """
    if is_own(name):
        return split in load_own_benchmark(Path(name).expanduser()).files
    return split in BENCHMARKS[check_name(name)].splits


def is_own(name: str) -> bool:
    """Whether a name is the path of a YAML file that describes a question set of one's own."""
    return Path(name).suffix in (".yaml", ".yml")


def benchmark_name(name: str) -> str:
    """What results and files call a benchmark: its name here, or the one its YAML file gives.

    Raises:
        UserError: the YAML file is missing or malformed.
    """
    return load_own_benchmark(Path(name).expanduser()).name if is_own(name) else name


def read_benchmark(name: str, root: str | Path | None, split: Split) -> list[VQASample]:
    """The samples of one split of a benchmark.

    Args:
        name: a key of `BENCHMARKS`, or the path of a YAML file (`medvista.data.own_benchmark`).
        root: the data root; None takes ``MEDVISTA_DATA``. A YAML file needs none.
        split: which split.

    Raises:
        UserError: no benchmark has this name (the nearest one is given), it has no such split, or its files are missing
            or malformed.
    """
    if is_own(name):
        return load_own_benchmark(Path(name).expanduser()).read(split)
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
