"""The floors of docs/architecture.md: imports only go down, and only the top floors know Lightning."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    "experiments": 8,
    "medvista.app": 7,
    "medvista.modules": 6,
    "medvista.datamodules": 6,
    "medvista.callbacks": 6,
    "medvista.integrations": 6,
    "medvista.evaluation": 5,
    "medvista.rollout": 4,
    "medvista.envs": 3,
    "medvista.policies": 3,
    "medvista.tools": 2,
    "medvista.data": 2,
    "medvista.rewards": 2,
    "medvista.metrics": 2,
    "medvista.functional": 1,
    "medvista.imaging": 1,
    "medvista": 0,  # the files directly in medvista/: the vocabulary
}
LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
SOURCES = sorted(path for package in ("medvista", "experiments") for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(module: str) -> str:
    """The folder with a floor that a module of ours lives in: medvista.tools.builtin.zoom -> medvista.tools."""
    parts = module.split(".")
    if parts[0] == "experiments":
        return "experiments"
    folder = ".".join(parts[:2])
    return folder if folder in FLOORS or (ROOT / folder.replace(".", "/")).is_dir() else parts[0]


def imports_of(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Modules a source file imports, anywhere in it: at the top, in functions, for type checking only."""
    found: set[str] = set()
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (parent, node.module) if part)
            names = {f"{base}.{alias.name}" for alias in node.names}
            # `from medvista import tools` imports a folder, which the name of the module alone does not show.
            found |= {base} | {name for name in names if folder_of(name) != folder_of(base)}
    return found


def broken_rules(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a source file imports against the floors, one sentence each."""
    home = folder_of(module)
    floor = FLOORS[home]
    broken = []
    for imported in sorted(imports_of(source, module, is_package=is_package)):
        top = imported.split(".")[0]
        if top in LIGHTNING and floor < 6:
            broken.append(f"{module} (floor {floor}) imports {imported}: only floors 6 and above know Lightning")
        if top not in ("medvista", "experiments") or (target := folder_of(imported)) == home:
            continue
        if FLOORS[target] >= floor:
            way = "up" if FLOORS[target] > floor else "sideways"
            broken.append(f"{module} (floor {floor}) imports {way}: {imported} (floor {FLOORS[target]})")
    return broken


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_only_go_down(path: Path) -> None:
    broken = broken_rules(path.read_text(encoding="utf-8"), module_name(path), is_package=path.name == "__init__.py")
    assert not broken, "\n".join(broken)


def test_every_folder_has_a_floor() -> None:
    folders = {folder_of(module_name(path)) for path in SOURCES}
    assert folders <= FLOORS.keys(), f"add to FLOORS and docs/architecture.md: {sorted(folders - FLOORS.keys())}"


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("medvista.tools.builtin.zoom", "from medvista.envs import MedicalVQAEnv", "up"),
        ("medvista.tools.builtin.zoom", "def f():\n    import medvista.data", "sideways"),
        ("medvista.tools.builtin.zoom", "from medvista import rollout", "up"),
        ("medvista.tools.toolbox", "from ..policies import vlm", "up"),
        ("medvista.types", "from medvista.functional import losses", "up"),
        ("medvista.rollout.collector", "import lightning.pytorch as pl", "Lightning"),
        ("medvista.callbacks.logger", "from medvista.modules import GRPOModule", "sideways"),
        ("medvista.modules.grpo", "from medvista.app.config.schema import ExperimentConfig", "up"),
    ],
)
def test_an_import_against_the_floors_is_found(module: str, source: str, complaint: str) -> None:
    assert complaint in "".join(broken_rules(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("medvista.tools.builtin.zoom", "from medvista.types import ToolResult\nfrom medvista.imaging import geometry"),
        ("medvista.tools.builtin.zoom", "from .toolbox import Toolbox\nfrom medvista.tools import window"),
        ("medvista.parsing", "from medvista.types import Action"),
        ("medvista.modules.grpo", "import lightning\nfrom medvista.rollout import collector"),
        (
            "medvista.app.build",
            "from medvista.modules import GRPOModule\nfrom medvista.app.config.schema import ExperimentConfig",
        ),
    ],
)
def test_an_import_that_goes_down_is_fine(module: str, source: str) -> None:
    assert broken_rules(source, module) == []
