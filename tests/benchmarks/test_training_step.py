"""The benchmark of memory and time of a training step, at a small size."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from benchmarks.training_step import Scoring, all_at_once, error, forward_and_backward, in_chunks, main, watched
from medvista.functional import log_probs

SMALL = ["--tokens=64", "--vocabulary=3000", "--repeats=1", "--layers=4", "--rows=2", "--row-tokens=96"]


def test_bytes_are_counted_while_something_holds_them():
    with LiveBytes() as bytes_:
        kept = torch.zeros(250)  # 1,000 bytes
        torch.ones(500) + 1  # 2,000 and 2,000, gone at once
        view = kept[:10]
    assert (bytes_.now, bytes_.peak) == (1000, 5000)
    del kept
    assert bytes_.now == 1000
    del view
    assert bytes_.now == 0


def test_backward_is_counted_too():
    weight = torch.ones(1000, requires_grad=True)
    with LiveBytes() as bytes_:
        (weight * weight).sum().backward()
    assert bytes_.now == 4000  # the gradient
    assert bytes_.peak >= 8000


def test_chunks_give_the_same_values_and_gradients_in_a_quarter_of_the_memory(monkeypatch):
    monkeypatch.setattr(log_probs, "KEPT_LOGITS", 0)
    monkeypatch.setattr(log_probs, "CHUNK_LOGITS", 16 * 3000)
    work = Scoring.random(tokens=512, vocabulary=3000, width=8)
    (expected, plain), (found, ours) = watched(all_at_once, work), watched(in_chunks, work)
    assert error(found, expected) < 1e-5
    assert ours < 0.25 * plain
    assert not found.entropy.requires_grad


def test_an_error_is_seen_in_values_and_in_gradients():
    work = Scoring.random(tokens=16, vocabulary=300, width=8)
    scores = forward_and_backward(all_at_once, work)
    for name in ("log_probs", "of_head"):
        assert error(scores._replace(**{name: getattr(scores, name) * 1.01}), scores) == pytest.approx(0.01, rel=0.01)


def test_the_last_line_is_json_with_the_promised_figures(capsys):
    main(SMALL)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures.keys() == {"memory_ratio", "time_ratio", "max_error", "checkpointing_ratio"}
    assert figures["max_error"] < 1e-5
    assert 0 < figures["checkpointing_ratio"] < 0.5
