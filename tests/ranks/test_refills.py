"""Groups are played by whichever process their turn comes to; the update learns from the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.policies import VLMPolicy
from tests.ranks.launching import launch

pytestmark = pytest.mark.slow


def test_two_processes_learn_from_the_episodes_that_one_would_learn_from(schooled: VLMPolicy, tmp_path: Path) -> None:
    schooled.save_pretrained(tmp_path / "policy")
    for strategy, world in (("auto", 1), ("ddp", 2), ("fsdp2", 2)):
        launch("play.py", tmp_path, world, strategy)
    one, ddp, fsdp2 = (json.loads((tmp_path / f"{strategy}.json").read_text()) for strategy in ("auto", "ddp", "fsdp2"))
    assert ddp == one  # to the token: the weights do not change here
    assert fsdp2 == one
    for updates in one.values():
        lengths = {len(token_ids) for update in updates for *_, token_ids in update["learned"]}
        assert len(lengths) > 5
        positions = [update["position"] for update in updates]
        assert positions[-1] > 3 * 5  # some groups were played again
        assert all(update["learned"] for update in updates)
    shuffled, curriculum = ([u["stats"] for u in one[way]] for way in ("shuffled", "curriculum"))
    assert curriculum[-1]["curriculum/unseen"] < curriculum[0]["curriculum/unseen"] < 1
    assert "rollout/surplus_groups" in curriculum[0].keys() - shuffled[0].keys()
