"""The benchmarks by their names: one reader each, all called alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from medvista.data.slake import read_slake
from medvista.data.vqa_rad import read_vqa_rad
from medvista.errors import UserError
from medvista.types import Split, VQASample

Reader: TypeAlias = Callable[[Path, Split], list[VQASample]]

READERS: Mapping[str, Reader] = MappingProxyType({"slake": read_slake, "vqa_rad": read_vqa_rad})


def read_benchmark(name: str, root: Path, split: Split) -> list[VQASample]:
    """The samples of one split of a benchmark of official files below the data root.

    Raises:
        UserError: no benchmark has this name (the nearest one is given), or its files are missing or malformed.
    """
    if name not in READERS:
        near = get_close_matches(name, READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(READERS))}"
        raise UserError(f"there is no benchmark {name!r}: {hint}")
    return READERS[name](root, split)
