"""Every kind of file of a run, torn, emptied, flipped in a bit and deleted in turn, then ``resume=true``.

A run that goes on ends with the same numbers and answers, or in one sentence that names what is damaged: never in a
traceback, never with other numbers. ``-s`` prints the table of docs/reliability.md.
"""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medvista.app.commands.run import main

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TINY = runpy.run_path(str(Path(__file__).parents[1] / "app" / "conftest.py"))["TINY"]
SMALL = ["arms=[direct]", "direct.steps=4", "evaluation.modes=[greedy]", "evaluation.counterfactuals=[]"]
_NUMBERS = ("arms", "comparisons", "counterfactuals", "evidence", "chance")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def deleted(path: Path) -> None:
    path.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (torn, emptied, flipped, deleted)


def kind(path: Path) -> str:
    """What a file is one of: pictures, event files and the like have names of their own."""
    name = {".png": "*.png"}.get(path.suffix, path.name)
    return f"{path.parent}/{'events.*' if name.startswith('events.') else name}"


def outcome(run: Path) -> dict[str, Any]:
    """The numbers, the answers and what was kept of training."""
    results = json.loads((run / "results.json").read_text())
    episodes = {
        str(path.relative_to(run)): [
            {name: json.loads(line)[name] for name in ("sample", "turns", "reward", "stop_reason")}
            for line in path.read_bytes().splitlines()
        ]
        for path in sorted((run / "trajectories" / "test").glob("*.jsonl"))
    }
    for lines in episodes.values():
        for line in lines:
            for turn in line["turns"]:
                if turn.get("result"):
                    turn["result"].pop("seconds", None)
    weights = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("model.safetensors"))}
    return {"numbers": {name: results[name] for name in _NUMBERS}, "episodes": episodes, "weights": weights}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    command = [*TINY, *SMALL, f"output_dir={folder}", f"cache_dir={folder.parent / 'cache'}"]
    assert main(command) == 0
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    return command, kept


def ends(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was said; a traceback is an exception here."""
    capsys.readouterr()
    code = main([*command, "resume=true"])
    return code, capsys.readouterr().err


def test_every_damage_to_every_file_is_mended_or_named(
    finished: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, kept = finished
    run, expected, wrong = kept.with_name("run"), outcome(kept), []
    kinds = {kind(path.relative_to(kept)): path.relative_to(kept) for path in sorted(kept.rglob("*")) if path.is_file()}
    table = {}
    for name, place in kinds.items():
        for damage in DAMAGES:
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(kept, run, symlinks=True)
            if not (run / place).stat().st_size and damage is not deleted:
                continue
            damage(run / place)
            code, said = ends(command, capsys)
            error = next((line for line in said.splitlines() if line.startswith("error: ")), "")
            if code == 0:
                same = {part: outcome(run)[part] == expected[part] for part in expected}
                good = all(same[part] for part in same if part != "weights") and (
                    same["weights"] or place.name == "model.safetensors"
                )
                table[name, damage.__name__] = "same"
            else:
                good = code == 2 and (place.name in error or str(place.parent) in error)
                table[name, damage.__name__] = "named"
            if not good:
                wrong.append((name, damage.__name__, code, error or said[-300:]))
    for name in kinds:
        with capsys.disabled():
            print(f"| `{name}` | {' | '.join(table.get((name, damage.__name__), '') for damage in DAMAGES)} |")
    assert not wrong, wrong
