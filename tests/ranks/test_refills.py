"""Groups are played again by whichever process their turn comes to; the update learns from the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.policies import VLMPolicy
from tests.ranks.launching import launch

pytestmark = pytest.mark.slow


def test_two_processes_learn_from_the_groups_that_one_would_learn_from(nano: VLMPolicy, tmp_path: Path) -> None:
    nano.save_pretrained(tmp_path / "policy")
    for world in (1, 2):
        launch("play.py", tmp_path, world)
    one, two = (json.loads((tmp_path / f"{world}.json").read_text()) for world in (1, 2))
    assert two == one
    positions = [update["position"] for update in one]
    assert positions[-1] > 3 * 5  # some groups were played again
    assert all(update["learned"] for update in one)
