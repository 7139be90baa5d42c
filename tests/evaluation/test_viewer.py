"""What the viewer's files hold, and when it refuses to write them. How the page behaves: `test_viewer_in_browser`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medvista.app.commands.view import main
from medvista.data.trajectories import read_trajectories_with_files, write_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.numbers.results_file import write_results
from medvista.evaluation.viewer import find_sources, write_viewer, writer
from medvista.evaluation.viewer.images import ImageFolder
from medvista.types import Trajectory

Episodes = Mapping[str, Sequence[Trajectory]]
PAGE = Path(writer.__file__).parent / "page"


def data(viewer: Path, name: str) -> Any:
    """What a data script hands over."""
    script = (viewer / "data" / f"{name}.js").read_text(encoding="ascii")
    said, text = json.loads("[" + script.removeprefix("receive(").removesuffix(");\n") + "]")
    assert said == name
    return json.loads(text)


@pytest.fixture
def run(tmp_path: Path, trajectories: Episodes) -> Path:
    """A run of three arms, with an episode of training."""
    for arm, episodes in trajectories.items():
        write_trajectories(tmp_path / "run" / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl", episodes)
    write_trajectories(tmp_path / "run" / "trajectories" / "sft_rl" / "train.jsonl", trajectories["sft_rl"][:1])
    return tmp_path / "run"


def test_arms_stand_in_the_order_of_the_tables_and_training_comes_last(run: Path, results: Results) -> None:
    write_results(run / "results.json", results)
    sources = find_sources(run, "run")
    arms = [(source.arm, source.mode) for source in sources]
    assert arms == [("direct", "greedy"), ("tools_untrained", "greedy"), ("sft_rl", "greedy"), ("sft_rl", "train")]
    assert [source.arm for source in sources if source.headline] == ["sft_rl"]  # of the first comparison
    assert sources[2].about == "cold start, then reinforcement learning in the environment"


def test_a_replay_stands_behind_its_arm(run: Path, results: Results) -> None:
    write_results(run / "results.json", results)
    test = run / "trajectories" / "test"
    (test / "phantom-tools_untrained-greedy.jsonl").rename(test / "phantom-direct.blank-greedy.jsonl")
    direct, replay, *_ = find_sources(run, "run")
    assert (direct.arm, replay.arm, replay.mode) == ("direct", "direct.blank", "greedy")
    assert replay.about.startswith("a replay")


def test_runs_of_a_sweep_are_told_apart(tmp_path: Path, trajectories: Episodes) -> None:
    for seed in (0, 1):
        folder = tmp_path / "expert" / f"seed-{seed}" / "trajectories" / "test"
        write_trajectories(folder / "phantom-direct-greedy.jsonl", trajectories["direct"])
    assert [source.run for source in find_sources(tmp_path, "claim")] == ["claim/expert/seed-0", "claim/expert/seed-1"]


def test_a_file_is_a_source_too(run: Path) -> None:
    (source,) = find_sources(run / "trajectories" / "sft_rl" / "train.jsonl", "train.jsonl")
    assert (source.arm, source.mode) == ("train", "")


def test_the_index_has_each_question_once_and_every_episode(run: Path, tmp_path: Path) -> None:
    write_viewer(tmp_path / "viewer", find_sources(run, "run"))
    index = data(tmp_path / "viewer", "index")
    assert len(index["episodes"]) == 9
    assert len(index["samples"]) == 8  # training repeats one; phantoms 3 and 5 are asked two questions under one id
    assert index["tools"] == ["zoom"]
    sample, source, answer, right, reward, tools, failed, stop = index["episodes"][2]
    assert index["sources"][source]["arm"] == "sft_rl"
    assert index["samples"][sample][2] == "phantom-test-3"
    assert (right, reward, tools, failed, stop) == (1, pytest.approx(1.2), [0], 0, "answered")
    assert answer == index["samples"][sample][5]


def test_a_record_holds_thoughts_results_terms_and_pictures(run: Path, tmp_path: Path, trajectories: Episodes) -> None:
    write_viewer(tmp_path / "viewer", find_sources(run, "run"))
    record = data(tmp_path / "viewer", "episodes-0")[2]
    assert [step["kind"] for step in record["steps"]] == ["call", "answer"]
    assert record["steps"][0]["thought"].endswith("look closer")
    assert record["steps"][0]["readings"] == [["width_mm", "51.2"]]
    assert record["terms"] == [["answer", 1.0], ["tool", 0.1], ["format", 0.1]]
    crop = tmp_path / "viewer" / record["steps"][0]["pictures"][0]["uri"]
    shown = trajectories["sft_rl"][0].turns[0].observation
    assert shown is not None
    with Image.open(crop) as image:
        assert image.size == shown.images[0].size


def test_shards_hold_every_episode_in_order(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SHARD_SIZE", 4)
    write_viewer(tmp_path / "viewer", find_sources(run, "run"))
    shards = [data(tmp_path / "viewer", f"episodes-{number}") for number in range(3)]
    assert [len(shard) for shard in shards] == [4, 4, 1]
    index = data(tmp_path / "viewer", "index")
    ids = [record["sample_id"] for shard in shards for record in shard]
    assert ids == [index["samples"][episode[0]][2] for episode in index["episodes"]]


def test_pictures_are_links_and_take_no_space(run: Path, tmp_path: Path) -> None:
    write_viewer(tmp_path / "viewer", find_sources(run, "run"))
    picture = next((tmp_path / "viewer" / "images").iterdir())
    assert os.stat(picture).st_nlink > 1


def test_a_picture_named_by_another_hand_is_kept_by_its_content(tmp_path: Path) -> None:
    images = ImageFolder(tmp_path / "viewer", "images")
    for folder, grey in (("a", 10), ("b", 200)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((4, 4), grey, np.uint8)).save(tmp_path / folder / "1.bmp")
    kept = [images.keep(tmp_path / folder / "1.bmp") for folder in ("a", "b", "a")]
    assert kept[0] == kept[2] != kept[1]
    assert all(re.fullmatch(r"images/[0-9a-f]{24}\.png", address) for address in kept)


def test_a_run_that_is_still_being_written_can_be_viewed(run: Path, trajectories: Episodes) -> None:
    path = run / "trajectories" / "test" / "phantom-direct-greedy.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])  # its last line is cut off
    assert len(list(read_trajectories_with_files(path))) == len(trajectories["direct"]) - 1
    path.write_bytes(whole.rstrip(b"\n"))  # whole, but for its newline
    assert len(list(read_trajectories_with_files(path))) == len(trajectories["direct"])


def test_the_files_of_processes_that_are_still_playing_are_those_of_their_arm(run: Path) -> None:
    test = run / "trajectories" / "test"
    (test / "phantom-direct-greedy.jsonl").rename(test / "phantom-direct-greedy.jsonl.rank1")
    (test / "phantom-direct-greedy.jsonl.notes").write_text("of another hand")
    assert [source.path.name for source in find_sources(run, "run") if source.arm == "direct"] == [
        "phantom-direct-greedy.jsonl.rank1"
    ]


def test_a_viewer_is_written_in_the_place_of_an_earlier_one_and_of_nothing_else(run: Path, tmp_path: Path) -> None:
    viewer = tmp_path / "viewer"
    write_viewer(viewer, find_sources(run, "run"))
    (viewer / "data" / "episodes-7.js").write_text("of a longer run")
    write_viewer(viewer, find_sources(run, "run"))
    assert sorted(path.name for path in (viewer / "data").iterdir()) == ["episodes-0.js", "index.js"]
    with pytest.raises(UserError, match="holds something else than a viewer"):
        write_viewer(run, find_sources(run, "run"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda run: [run / "nowhere"], "there is no run at"),
        (lambda run: [run / "trajectories" / "test" / "images"], "has no trajectories"),
        (lambda run: [run, run, run], "3 runs were given"),
        (lambda run: [run, "--out", run], "holds something else than a viewer"),
        (lambda run: [run, "--out", run / "trajectories" / "sft_rl" / "train.jsonl"], "is a file"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    arguments: Callable[[Path], list[object]], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*map(str, arguments(run)), "--no-browser"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert said in line


def test_the_command_writes_into_the_run_and_prints_where(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--no-browser"]) == 0
    assert capsys.readouterr().out == f"{run / 'viewer' / 'index.html'}\n"
    assert main([str(run), "--no-browser"]) == 0  # again, with the viewer there


def test_a_port_serves_the_page_to_this_machine(run: Path) -> None:
    command = [sys.executable, "-m", "experiments.view", str(run), "--no-browser", "--port", "0"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{run / 'viewer' / 'index.html'}\n"
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}data/index.js", timeout=30) as answer:
            assert answer.read(16) == b'receive("index",'
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_the_picture_of_the_docs_is_small() -> None:
    assert (Path(__file__).parents[2] / "docs" / "images" / "viewer.png").stat().st_size < 200_000


def test_scripts_make_no_html_of_texts() -> None:
    for script in PAGE.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|DOMParser", script.read_text())


def test_the_page_asks_nothing_of_any_network() -> None:
    for asset in PAGE.iterdir():
        addresses = re.findall(r"https?://[^\"' )]+", asset.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, not an address
