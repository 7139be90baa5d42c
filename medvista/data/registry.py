"""Every benchmark in one entry: its reader and splits, its scoring, where it comes from, what was published about it.

To add one, write a reader and an entry here; docs/benchmarks.md says what else makes it trustworthy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from medvista.data.medxpertqa import read_medxpertqa_mm
from medvista.data.mmmu import SUBJECTS, read_mmmu_med, read_mmmu_pro_med
from medvista.data.path_vqa import read_path_vqa
from medvista.data.pmc_vqa import read_pmc_vqa
from medvista.data.slake import read_slake
from medvista.data.vqa_rad import read_vqa_rad
from medvista.types import Split, VQASample

Reader: TypeAlias = Callable[..., list[VQASample]]  # (data root, split), and `carve_validation` where it carves

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A dataset repository of the Hugging Face hub, and what becomes of its files."""

    repo: str
    folder: str  # below the data root
    patterns: tuple[str, ...]  # of the files to fetch
    archives: Mapping[str, str] = field(default_factory=dict)  # zip file -> the folder it becomes
    tables: Mapping[str, str] = field(default_factory=dict)  # name of the unpacked rows -> pattern of parquet files


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark."""

    read: Reader
    scoring: str  # the published scoring, a key of `medvista.metrics.SCORINGS`; another benchmark may have the same
    place: str  # the files to place by hand, below the data root
    splits: tuple[Split, ...] = SPLITS
    carved: tuple[Split, ...] = ()  # those of `splits` that are no official ones: the reader sets them aside from train
    hub: HubSource | None = None
    counts: tuple[Mapping[Split, int], ...] = ()  # published numbers of questions, of each form; not of every split
    images: int | None = None  # image files of the official form
    checksums: Mapping[str, str] = field(default_factory=dict)  # file below the data root -> SHA-256

    @property
    def official_splits(self) -> tuple[Split, ...]:
        """The splits that its authors made."""
        return tuple(split for split in self.splits if split not in self.carved)

    def read_official(self, root: Path, split: Split) -> list[VQASample]:
        """The questions of an official split, with nothing set aside from it."""
        return self.read(root, split, carve_validation=False) if self.carved else self.read(root, split)


_SLAKE_HUB = HubSource(
    repo="BoKelvin/SLAKE",
    folder="slake/Slake1.0",
    patterns=("*.json", "mask.txt", "imgs.zip", "KG.zip"),
    archives={"imgs.zip": "imgs", "KG.zip": "KG"},
)
_SLAKE_SUMS = {
    "slake/Slake1.0/train.json": "7a9fb81f9d7bb145c3d7e9bc8d3b9016ba18b6539ea5031a53bae8fd3cd991c3",
    "slake/Slake1.0/validate.json": "32b016440b0c3be11056a78a18eeab46333268407fbb6e6b32f9f4c2debc50f6",
    "slake/Slake1.0/test.json": "6be8f7b4c5a46cdbc713a5210a25b6ed5aa1fd1574c83cefb4f998131f17c2c3",
}
_SLAKE_PLACE = "slake/Slake1.0/{train,validate,test}.json and slake/Slake1.0/imgs (med-vqa.com/slake)"
_PMC_PLACE = "pmc_vqa/{train,test,test_clean}.csv and pmc_vqa/images.zip (hub: xmcmic/PMC-VQA)"


def _pmc(version: str, train: str, test: str, images: str, counts: tuple[Mapping[Split, int], ...] = ()) -> Benchmark:
    return Benchmark(
        read=partial(read_pmc_vqa, version=version),  # type: ignore[arg-type]
        scoring="pmc_vqa",
        carved=("validation",),
        place=_PMC_PLACE if version != "panels" else f"pmc_vqa/{{train_2,test_2}}.csv and pmc_vqa/{images}.zip",
        hub=HubSource(
            repo="xmcmic/PMC-VQA",
            folder="pmc_vqa",
            patterns=(train, test, f"{images}.zip"),
            archives={f"{images}.zip": images},
        ),
        counts=counts,
    )


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "vqa_rad": Benchmark(
            read=read_vqa_rad,
            scoring="vqa_rad",
            carved=("validation",),
            place='vqa_rad/"VQA_RAD Dataset Public.json" and vqa_rad/"VQA_RAD Image Folder" (osf.io/89kps)',
            hub=HubSource(
                repo="flaviagiammarino/vqa-rad",
                folder="vqa_rad/hub",
                patterns=("*.parquet",),
                tables={"train": "**/train-*.parquet", "test": "**/test-*.parquet"},
            ),
            counts=({"train": 1797, "test": 451}, {"train": 1793, "test": 451}),
            images=315,
            checksums={
                "vqa_rad/VQA_RAD Dataset Public.json": (
                    "948b7156059b864cf72344fb10669233526b175c243e5a046d20d4201d297a95"
                )
            },
        ),
        "slake": Benchmark(
            read=read_slake,
            scoring="slake",
            place=_SLAKE_PLACE,
            hub=_SLAKE_HUB,
            counts=({"train": 4919, "validation": 1053, "test": 1061},),
            images=642,
            checksums=_SLAKE_SUMS,
        ),
        "slake_zh": Benchmark(
            read=partial(read_slake, language="zh"),
            scoring="slake",
            place=_SLAKE_PLACE,
            hub=_SLAKE_HUB,
            counts=({"train": 4916, "validation": 1046, "test": 1033},),
            images=642,
            checksums=_SLAKE_SUMS,
        ),
        "path_vqa": Benchmark(
            read=read_path_vqa,
            scoring="path_vqa",
            place="path_vqa/pvqa/{qas,images}, as unzipped (github.com/UCSD-AI4H/PathVQA)",
            hub=HubSource(
                repo="flaviagiammarino/path-vqa",
                folder="path_vqa/hub",
                patterns=("*.parquet",),
                tables={split: f"**/{split}-*.parquet" for split in SPLITS},
            ),
            counts=(
                {"train": 19755, "validation": 6279, "test": 6761},
                {"train": 19654, "validation": 6259, "test": 6719},
            ),
        ),
        "pmc_vqa": _pmc("clean", "train.csv", "test_clean.csv", "images", counts=({"test": 2000},)),
        "pmc_vqa_full": _pmc("full", "train.csv", "test.csv", "images"),
        "pmc_vqa_panels": _pmc("panels", "train_2.csv", "test_2.csv", "images_2"),
        "mmmu_med": Benchmark(
            read=read_mmmu_med,
            scoring="mmmu_med",
            splits=("validation", "test"),
            place="mmmu_med/mmmu/<Subject>/{dev,validation}-*.parquet for the five subjects (hub: MMMU/MMMU)",
            hub=HubSource(
                repo="MMMU/MMMU",
                folder="mmmu_med/mmmu",
                patterns=tuple(f"{subject}/{part}-*.parquet" for subject in SUBJECTS for part in ("dev", "validation")),
                tables={
                    f"{subject}/{part}": f"{subject}/{part}-*.parquet"
                    for subject in SUBJECTS
                    for part in ("dev", "validation")
                },
            ),
            counts=({"validation": 25, "test": 150},),
        ),
        "mmmu_pro_med": Benchmark(
            read=read_mmmu_pro_med,
            scoring="mmmu_pro_med",
            splits=("test",),
            place='mmmu_med/mmmu_pro/"standard (10 options)"/test-*.parquet (hub: MMMU/MMMU_Pro)',
            hub=HubSource(
                repo="MMMU/MMMU_Pro",
                folder="mmmu_med/mmmu_pro",
                patterns=("standard (10 options)/*.parquet",),
                tables={"test": "standard (10 options)/test-*.parquet"},
            ),
        ),
        "medxpertqa_mm": Benchmark(
            read=read_medxpertqa_mm,
            scoring="medxpertqa_mm",
            splits=("validation", "test"),
            place="medxpertqa/MM/{dev,test}.jsonl and medxpertqa/images.zip (hub: TsinghuaC3I/MedXpertQA)",
            hub=HubSource(
                repo="TsinghuaC3I/MedXpertQA",
                folder="medxpertqa",
                patterns=("MM/*.jsonl", "images.zip"),
                archives={"images.zip": "images"},
            ),
            counts=({"validation": 5, "test": 2000},),
        ),
    }
)
