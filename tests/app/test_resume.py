"""A run that is killed goes on where it was, repeats nothing that was finished, and ends as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medvista.app.commands.run import main
from medvista.app.evaluating import playing
from medvista.modules import GRPOModule, SFTModule

Kill = Callable[[type, int], list[int]]


class Killed(BaseException):
    """What a lost machine looks like from inside: nothing gets to clean up its files."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Kill:
    """Kills the run when a module is about to train on a step; gives the list of steps that it trains on."""

    def arrange(module: type, step: int) -> list[int]:
        trained: list[int] = []

        def before(self: Any, batch: Any, batch_idx: int) -> None:
            if self.global_step == step:
                raise Killed
            trained.append(self.global_step)

        monkeypatch.setattr(module, "on_train_batch_start", before)
        return trained

    return arrange


def stamps(run: Path) -> dict[str, int]:
    """When each finished piece of work was written."""
    pieces = [*run.glob("checkpoints/*/done.json"), *run.glob("trajectories/test/*.jsonl")]
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in pieces}


def test_a_run_killed_in_every_kind_of_stage_ends_with_the_same_weights(
    tiny: list[str], finished: Path, tmp_path: Path, kill_at: Kill, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    command = [*tiny, f"output_dir={run}", "arms=[sft,sft_rl]", "resume=true", "trainer.checkpoint_every=2"]

    sft_steps = kill_at(SFTModule, 25)
    with pytest.raises(Killed):
        main(command)
    assert sft_steps == list(range(25))
    assert stamps(run) == {}

    # Of supervised steps, the one after the last checkpoint is repeated; of updates too.
    sft_steps = kill_at(SFTModule, -1)
    updates = kill_at(GRPOModule, 3)
    with pytest.raises(Killed):
        main(command)
    assert sft_steps == list(range(24, 80))
    assert updates == [0, 1, 2]
    before = stamps(run)
    assert set(before) == {"checkpoints/sft/done.json"}

    sft_steps, updates = kill_at(SFTModule, -1), kill_at(GRPOModule, -1)
    kill_evaluation(monkeypatch, after=3)
    with pytest.raises(Killed):
        main(command)
    assert (sft_steps, updates) == ([], [2, 3])
    assert before.items() < stamps(run).items()
    before = stamps(run)
    assert len([name for name in before if name.startswith("trajectories")]) == 3

    monkeypatch.undo()
    assert main(command) == 0
    assert before.items() < stamps(run).items()
    assert set(json.loads((run / "results.json").read_text())["arms"]) == {"sft", "sft_rl"}
    for stage in ("sft", "sft_rl"):
        ours, theirs = (load_file(r / "checkpoints" / stage / "policy" / "model.safetensors") for r in (run, finished))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    start, end = (load_file(run / "checkpoints" / s / "policy" / "model.safetensors") for s in ("sft", "sft_rl"))
    assert any(not torch.equal(start[name], end[name]) for name in end), "RL had nothing to learn: the test says little"


def kill_evaluation(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Kills the run when it is about to play another arm in another mode."""
    played = iter(range(after))
    play = playing.play_questions

    def play_or_die(*arguments: Any, **options: Any) -> None:
        if next(played, None) is None:
            raise Killed
        play(*arguments, **options)

    monkeypatch.setattr(playing, "play_questions", play_or_die)


def test_a_finished_run_is_only_reported_again(finished: Path, tiny: list[str]) -> None:
    before = stamps(finished)
    assert main([*tiny, f"output_dir={finished}", "resume=true"]) == 0
    assert stamps(finished) == before


def test_ctrl_c_in_training_ends_with_130_and_how_to_go_on(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: Any, batch: Any, batch_idx: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SFTModule, "on_train_batch_start", interrupt)
    assert main([*tiny, f"output_dir={tmp_path / 'run'}", "arms=[sft]"]) == 130
    assert "resume=true" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints" / "sft" / "done.json").exists()
