"""The benchmark of the tools' machinery measures what it says."""

from __future__ import annotations

import json

import pytest

from benchmarks.tools import CROP, SIDE, main, random_zooms


def test_zooms_are_of_at_most_1024_pixels_a_side_and_lie_in_the_image():
    for call in random_zooms(200):
        x1, y1, x2, y2 = (value * SIDE / 1000 for value in call.arguments["bbox_2d"])
        assert 0 <= x1 < x2 <= SIDE
        assert 0 <= y1 < y2 <= SIDE
        assert max(x2 - x1, y2 - y1) <= CROP + 1e-6


def test_the_last_line_is_json_with_the_promised_figures(capsys):
    main(["--calls", "3", "--executors"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["ray_batch_speedup"] is None  # not asked for
    assert 0 < figures["overhead_ms_p50"] < figures["zoom_ms_p50"]


@pytest.mark.slow
def test_batching_in_ray_is_measured_with_a_real_segmenter(capsys):
    pytest.importorskip("ray")
    main(["--calls", "3", "--batched-calls", "16", "--executors", "ray"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ray_batch_speedup"] > 0
