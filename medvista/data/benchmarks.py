"""The benchmarks by their names: one reader each, all called alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from medvista.data.benchmark_files import data_root
from medvista.data.medxpertqa import read_medxpertqa_mm
from medvista.data.mmmu import read_mmmu_med, read_mmmu_pro_med
from medvista.data.own_benchmark import load_own_benchmark
from medvista.data.path_vqa import read_path_vqa
from medvista.data.pmc_vqa import read_pmc_vqa
from medvista.data.slake import read_slake
from medvista.data.vqa_rad import read_vqa_rad
from medvista.errors import UserError
from medvista.types import Split, VQASample

Reader: TypeAlias = Callable[[Path, Split], list[VQASample]]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "vqa_rad": read_vqa_rad,
        "slake": read_slake,
        "slake_zh": partial(read_slake, language="zh"),
        "path_vqa": read_path_vqa,
        "pmc_vqa": read_pmc_vqa,
        "pmc_vqa_full": partial(read_pmc_vqa, version="full"),
        "pmc_vqa_panels": partial(read_pmc_vqa, version="panels"),
        "mmmu_med": read_mmmu_med,
        "mmmu_pro_med": read_mmmu_pro_med,
        "medxpertqa_mm": read_medxpertqa_mm,
    }
)


SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_FEWER_SPLITS: Mapping[str, tuple[Split, ...]] = MappingProxyType(
    {"mmmu_med": ("validation", "test"), "mmmu_pro_med": ("test",), "medxpertqa_mm": ("validation", "test")}
)


def has_split(name: str, split: Split) -> bool:
    """Whether a benchmark has a split, official or carved, be its files there or not.

    Raises:
        UserError: there is no such benchmark, or its YAML file is malformed.
    """
    if is_own(name):
        return split in load_own_benchmark(Path(name).expanduser()).files
    return split in _FEWER_SPLITS.get(check_name(name), SPLITS)


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
        name: a key of `READERS`, or the path of a YAML file (`medvista.data.own_benchmark`).
        root: the data root; None takes ``MEDVISTA_DATA``. A YAML file needs none.
        split: which split.

    Raises:
        UserError: no benchmark has this name (the nearest one is given), it has no such split, or its files are missing
            or malformed.
    """
    if is_own(name):
        return load_own_benchmark(Path(name).expanduser()).read(split)
    return READERS[check_name(name)](data_root(root), split)


def check_name(name: str) -> str:
    """The name, which must be a benchmark's.

    Raises:
        UserError: it is not; the nearest one is given.
    """
    if name not in READERS:
        near = get_close_matches(name.lower().replace("-", "_"), READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(READERS))}"
        raise UserError(f"there is no benchmark {name!r}: {hint}")
    return name
