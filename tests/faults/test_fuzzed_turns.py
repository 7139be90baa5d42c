"""Whatever a model writes, its episode goes on or ends in order, and can be written, read back, reported and shown.

``MEDVISTA_FUZZ=100000 python -m pytest -m faults tests/faults/test_fuzzed_turns.py -s`` takes as many turns as wanted,
and a fifth of them as headers of images.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.envs import MedicalVQAEnv
from medvista.errors import UserError
from medvista.evaluation.numbers.arm_scores import arm_score
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.report import write_report
from medvista.evaluation.viewer import find_sources, write_viewer
from medvista.types import MedicalImage, Trajectory, VQASample

pytestmark = pytest.mark.faults

TURNS = int(os.environ.get("MEDVISTA_FUZZ", "600"))
HEADERS = TURNS // 5
MAX_TURNS = 3
TOGETHER = 500  # episodes that are written, read, reported and shown at once
MAX_GROWTH_MIB = 700  # of the process, whatever the number of turns
MAX_GROWTH_READING_MIB = 3_000  # a header may ask for a picture as large as may be read, and 512 MiB of them are kept

# ----------------------------------------------------------------------------------------------- what a model writes

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)  # halves of characters, controls, private use
SIGNS = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", "<|im_end|>", "<|image_pad|>", "\0"]
)
LONG = st.builds(
    lambda part, times: part * times,
    st.sampled_from(["[", "{", '{"a":', "9", "A ", "\\", "<answer>"]),
    st.sampled_from([100, 3_000, 20_000]),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e308, float("nan"), float("inf"), -0.0, True, None, "7", "1e5"]),
)
VALUES = st.recursive(
    st.one_of(NUMBERS, ANY_TEXT),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=3),
)
ARGUMENTS = st.one_of(
    st.fixed_dictionaries({"image": NUMBERS, "box": st.lists(NUMBERS, max_size=6)}),
    st.fixed_dictionaries({"image": st.just(0), "box": st.lists(st.integers(-10, 1010), min_size=4, max_size=4)}),
    st.fixed_dictionaries({"image": st.just(0), "preset": st.sampled_from(["bone", "lung", "", 5])}),
    st.dictionaries(ANY_TEXT, VALUES, max_size=4),
    VALUES,
)
NAMES = st.one_of(st.sampled_from(["zoom", "window", "Zoom", "rm -rf /"]), ANY_TEXT, VALUES)
CALLS = st.builds(
    lambda name, arguments, head: f"{head}<tool_call>{_json({'name': name, 'arguments': arguments})}</tool_call>",
    NAMES,
    ARGUMENTS,
    st.sampled_from(["", "<think>look</think>", "<think>", "x"]),
)
PIECES = st.lists(st.one_of(SIGNS, ANY_TEXT, LONG, CALLS), max_size=6).map("".join)
TORN_CALLS = st.builds(lambda text, cut: text[: int(cut * len(text))], CALLS, st.floats(0, 1))
OUTPUTS = st.one_of(CALLS, CALLS, TORN_CALLS, PIECES, ANY_TEXT, LONG)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # with NaN and Infinity, and half characters as they are


# ------------------------------------------------------------------------------------------------ what becomes of it


class Shown:
    """Writes episodes in a run's form, reads them back, and has them reported and shown; then forgets them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.episodes, self.count = folder, list[Trajectory](), 0

    def add(self, episode: Trajectory) -> None:
        self.episodes.append(episode)
        if len(self.episodes) >= TOGETHER:
            self.show()

    def show(self) -> None:
        if not self.episodes:
            return
        run = self.folder / "run"
        path = run / "trajectories" / "test" / "fuzz-policy-greedy.jsonl"
        write_trajectories(path, self.episodes)
        back = list(read_trajectories(path, pixels=False))
        assert [episode.stop_reason for episode in back] == [episode.stop_reason for episode in self.episodes]
        assert [len(episode.turns) for episode in back] == [len(episode.turns) for episode in self.episodes]
        json.loads(path.read_bytes().splitlines()[0])
        results = Results(experiment="fuzz", seeds=(0,), arms={"policy": {"fuzz": {"greedy": arm_score(back, 20)}}})
        write_report(run / "report.html", results, {}, {"policy": list(read_trajectories(path))[:20]})
        (run / "report.html").read_text(encoding="utf-8")
        assert write_viewer(self.folder / "viewer", find_sources(path, "fuzz")).is_file()
        self.count += len(self.episodes)
        self.episodes.clear()
        shutil.rmtree(run)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


def test_no_turn_escapes_its_episode(shown: Shown) -> None:
    rng = np.random.default_rng(0)
    view = MedicalImage(pixels=rng.integers(0, 255, (48, 40), dtype=np.uint8))
    sample = VQASample(id="q", benchmark="b", split="test", question="?", answers=("a",), images=(view,), group_id="g")
    env = MedicalVQAEnv([sample], view_size=32, max_turns=MAX_TURNS)
    taken, before = [0], peak_mib()

    @settings(
        max_examples=max(TURNS // MAX_TURNS, 1),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(OUTPUTS, min_size=MAX_TURNS, max_size=MAX_TURNS))
    def play(texts: list[str]) -> None:
        env.reset(seed=taken[0])
        for text in texts:
            taken[0] += 1
            *_, terminated, truncated, _ = env.step(text)
            if terminated or truncated:
                break
        assert env.trajectory.done
        assert len(env.trajectory.turns) <= MAX_TURNS
        assert all(len(turn.observation.text) < 100_000 for turn in env.trajectory.turns if turn.observation)
        shown.add(env.trajectory)

    play()
    shown.show()
    grown = peak_mib() - before
    print(f"{taken[0]:,} turns in {shown.count:,} episodes; the process grew by {grown:,.0f} MiB to {peak_mib():,.0f}")
    assert grown < MAX_GROWTH_MIB


# ------------------------------------------------------------------------------------------------- headers of images


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small files of every kind, by the end of their names."""
    from pydicom.data import get_testdata_file

    grey = np.random.default_rng(0).integers(0, 255, (24, 20), dtype=np.uint8)
    found = []
    for ending, options in (
        (".png", {}),
        (".jpg", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".bmp", {}),
    ):
        Image.fromarray(grey).save(folder / f"seed{ending}", **options)
        found.append((ending, (folder / f"seed{ending}").read_bytes()))
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.eye(4)), folder / "seed.nii")  # type: ignore[no-untyped-call]
    nifti = (folder / "seed.nii").read_bytes()
    found += [(".nii", nifti), (".nii.gz", gzip.compress(nifti))]
    for name in ("CT_small.dcm", "MR_small_RLE.dcm"):
        found.append((".dcm", Path(str(get_testdata_file(name))).read_bytes()))
    return found


_NUMBERS_OF_FOUR_BYTES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The file with some bytes of its head replaced, cut out or repeated, and sometimes its end torn off."""
    head = min(len(content), 1024)
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(head)
        kind = chance.random()
        if kind < 0.6:
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind < 0.8:
            data[place : place + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        else:
            del data[place : place + chance.randrange(1, 9)]
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)


@pytest.mark.filterwarnings("ignore")  # what decoders say of such files
def test_no_header_of_an_image_escapes_its_question(shown: Shown, tmp_path: Path) -> None:
    files, chance, before = seeds(tmp_path), random.Random(0), peak_mib()
    read = refused = 0
    for number in range(HEADERS):
        ending, content = files[number % len(files)]
        path = tmp_path / f"fuzzed-{number}{ending}"
        path.write_bytes(mutated(content, chance))
        sample = VQASample(
            id=str(number), benchmark="b", split="test", question="?", answers=("a",), images=(path,), group_id="g"
        )
        env = MedicalVQAEnv([sample], view_size=32, max_turns=2)
        try:
            env.reset(seed=0)
        except UserError:
            refused += 1
        else:
            read += 1
            env.step('<tool_call>{"name": "zoom", "arguments": {"image": 0, "box": [0, 0, 500, 500]}}</tool_call>')
            env.step("<answer>a</answer>")
            shown.add(env.trajectory)
        path.unlink()
    shown.show()
    grown = peak_mib() - before
    print(f"{HEADERS:,} headers: {read:,} read, {refused:,} refused; the process grew by {grown:,.0f} MiB")
    assert read
    assert refused
    assert grown < MAX_GROWTH_READING_MIB
