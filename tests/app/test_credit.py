"""A run whose calls are credited by forks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from medvista.app.commands.run import main


@pytest.mark.slow
def test_forks_are_played_logged_and_counted_as_generated(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    credit = ["rl.credit=counterfactual", "rl.credit_share=1.0", "rl.updates=2", "rl.refill_rounds=1"]
    assert main([*tiny, *credit, f"output_dir={run}", "arms=[sft,sft_rl]", "evaluation.counterfactuals=[]"]) == 0
    with (run / "checkpoints" / "sft_rl" / "logs" / "metrics.csv").open() as file:
        logged = [row for row in csv.DictReader(file) if row["rollout/forks"]]
    assert len(logged) == 2
    forks, fork_tokens, played_tokens = (
        sum(float(row[f"rollout/{name}"]) for row in logged) for name in ("forks", "fork_tokens", "generated_tokens")
    )
    assert forks > 0
    assert fork_tokens > 0
    record = json.loads((run / "checkpoints" / "sft_rl" / "done.json").read_text())
    assert record["generated_tokens"] == fork_tokens + played_tokens
