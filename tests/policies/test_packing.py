"""Packing by hand: places, positions and mask of three rows in one, and a check that can fail."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from medvista.app.training.packing_check import packs_exactly
from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.policies.packing import pack_rows, why_not_packable
from medvista.types import Trajectory


def test_rows_stand_one_behind_the_other_and_see_only_themselves(nano: VLMPolicy) -> None:
    ids = torch.tensor([[5, 6, 0], [7, 0, 0], [8, 9, 10]])
    mask = (ids > 0).long()
    packed = pack_rows(nano.family, ids, mask, torch.arange(3).expand(3, 3))
    assert packed.token_ids.tolist() == [[5, 6, 7, 8, 9, 10]]
    assert packed.position_ids.tolist() == [[0, 1, 0, 0, 1, 2]]
    assert isinstance(packed.visible, torch.Tensor)
    assert packed.visible[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
    ]
    assert [packed.column[row, place].item() for row, place in mask.nonzero().tolist()] == [0, 1, 2, 3, 4, 5]


def test_a_model_that_computes_otherwise_in_one_row_is_found_out(
    nano: VLMPolicy, demonstrations: list[Trajectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [episode.stream for episode in demonstrations]
    assert packs_exactly(nano, streams)
    leaking = copy.deepcopy(nano)
    monkeypatch.setattr(leaking.family, "visible", lambda causal, *_: torch.ones_like(causal).tril())
    NOTICES.clear()
    assert not packs_exactly(leaking, streams)
    assert "log-probabilities differ by" in NOTICES.collected()[0].what


def test_attention_that_takes_no_mask_is_named(nano: VLMPolicy) -> None:
    flash = SimpleNamespace(config=SimpleNamespace(_attn_implementation="flash_attention_2"))
    assert "'flash_attention_2' takes no mask of this form" in why_not_packable(nano.family, flash)
