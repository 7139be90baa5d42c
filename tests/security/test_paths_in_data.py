"""What a stranger's data file names is read from its own folder or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from medvista.data.benchmarks import read_benchmark
from medvista.data.confined import confined
from medvista.data.hub_rows import hub_image
from medvista.data.json_fields import FieldError, Fields
from medvista.data.slake import read_slake
from medvista.data.trajectories import read_trajectories, read_trajectories_with_files, write_trajectories
from medvista.errors import UserError
from medvista.evaluation.viewer import find_sources, write_viewer
from medvista.types import MedicalImage, Observation, Trajectory, VQASample

Leave = Callable[[Path, Path], str]  # from a folder and a secret outside of it: the name that a file would give


def absolute(folder: Path, secret: Path) -> str:
    return str(secret)


def upwards(folder: Path, secret: Path) -> str:
    return os.path.relpath(secret, folder)


def through_a_link(folder: Path, secret: Path) -> str:
    (folder / "link.png").symlink_to(secret)
    return "link.png"


def through_a_linked_folder(folder: Path, secret: Path) -> str:
    (folder / "linked").symlink_to(secret.parent)
    return f"linked/{secret.name}"


WAYS_OUT = [absolute, upwards, through_a_link, through_a_linked_folder]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture that is nobody's business."""
    (tmp_path / "private").mkdir()
    Image.new("L", (8, 8), 77).save(tmp_path / "private" / "ward.png")
    return tmp_path / "private" / "ward.png"


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The folder that came from elsewhere."""
    (tmp_path / "stranger" / "images").mkdir(parents=True)
    return tmp_path / "stranger"


def own_table(folder: Path, image: str = "a.png", **description: Any) -> str:
    (folder / "t.csv").write_text(f"q,a,f\nIs it CT?,yes,{image}\n")
    columns = {"question": "q", "answer": "a", "image": "f"}
    given = {"questions": {"test": "t.csv"}, "images": "images", "columns": columns} | description
    (folder / "t.yaml").write_text(yaml.safe_dump(given))
    return str(folder / "t.yaml")


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_a_table_reads_no_image_outside_of_its_folder(way_out: Leave, stranger: Path, secret: Path) -> None:
    with pytest.raises(UserError, match=r"row 0 \(from 0\): .*lies outside of .*stranger"):
        read_benchmark(own_table(stranger, way_out(stranger / "images", secret)), None, "test")


@pytest.mark.parametrize("way_out", WAYS_OUT)
@pytest.mark.parametrize("key", ["questions", "images"])
def test_a_description_names_no_place_outside_of_its_folder(
    key: str, way_out: Leave, stranger: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDVISTA_DATA", raising=False)
    outside = way_out(stranger, secret)
    named = {"test": outside} if key == "questions" else outside
    with pytest.raises(UserError, match="lies outside of"):
        read_benchmark(own_table(stranger, **{key: named}), None, "test")


def test_a_table_may_lie_in_the_data_root(stranger: Path, tmp_path: Path, secret: Path) -> None:
    name = own_table(stranger, secret.name, images=str(secret.parent))
    (sample,) = read_benchmark(name, tmp_path, "test")
    assert sample.images == (secret,)


@pytest.mark.parametrize("name", ["../../x", "/x", "a\\b"])
def test_a_benchmark_is_not_called_by_a_path(name: str, stranger: Path) -> None:
    with pytest.raises(UserError, match='"name" must be a text without slashes'):
        read_benchmark(own_table(stranger, name=name), None, "test")


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_official_rows_read_no_image_outside_of_their_folder(way_out: Leave, stranger: Path, secret: Path) -> None:
    images = stranger / "imgs"
    images.mkdir()
    row = {"qid": 1, "q_lang": "en", "img_name": way_out(images, secret), "question": "?", "answer": "yes"}
    (stranger / "test.json").write_text(json.dumps([row | {"answer_type": "CLOSED"}]))
    with pytest.raises(UserError, match="lies outside of"):
        read_slake(stranger, "test")


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_hub_rows_read_no_image_outside_of_their_folder(way_out: Leave, stranger: Path, secret: Path) -> None:
    with pytest.raises(FieldError, match="lies outside of"):
        hub_image(stranger, Fields({"image": way_out(stranger, secret)}), "image")


# -------------------------------------------------------------------------------------------------------- trajectories
def episode_that_shows(folder: Path, image: str) -> Path:
    """A trajectory file whose one view is said to be in `image`."""
    view = MedicalImage(pixels=np.zeros((8, 8), np.uint8))
    sample = VQASample(
        id="q", benchmark="b", split="test", question="?", answers=("yes",), images=(view,), group_id="g"
    )
    path = folder / "e.jsonl"
    write_trajectories(path, [Trajectory(sample=sample, observation=Observation(text="", images=(view,)))])
    values = json.loads(path.read_text())
    values["observation"]["images"][0]["path"] = image
    path.write_text(json.dumps(values) + "\n")
    return path


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_an_episode_shows_no_picture_outside_of_its_folder(
    way_out: Leave, pixels: bool, stranger: Path, secret: Path
) -> None:
    path = episode_that_shows(stranger, way_out(stranger, secret))
    with pytest.raises(UserError, match=r"e\.jsonl, line 1: .*lies outside of"):
        list(read_trajectories(path, pixels=pixels))


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_the_viewer_copies_no_picture_from_outside(way_out: Leave, stranger: Path, secret: Path) -> None:
    path = episode_that_shows(stranger, way_out(stranger, secret))
    with pytest.raises(UserError, match="lies outside of"):
        write_viewer(stranger / "viewer", find_sources(path, "stranger"))
    assert list((stranger / "viewer" / "images").iterdir()) == []


def test_a_link_named_like_content_is_no_way_out(stranger: Path, secret: Path) -> None:
    name = f"{'0' * 24}.png"
    (stranger / name).symlink_to(secret)
    with pytest.raises(UserError, match="lies outside of"):
        list(read_trajectories_with_files(episode_that_shows(stranger, name)))


@pytest.mark.parametrize("name", ["pipe.png", "/dev/zero"])
def test_pipes_and_devices_are_not_waited_for(name: str, stranger: Path) -> None:
    if name == "pipe.png":
        os.mkfifo(stranger / name)
        os.mkfifo(stranger / "images" / name)
    for pixels in (True, False):
        with pytest.raises(UserError, match=r"does not exist|lies outside of"):
            list(read_trajectories(episode_that_shows(stranger, name), pixels=pixels))
    with pytest.raises(UserError, match=r"is missing|lies outside of"):
        read_benchmark(own_table(stranger, name), None, "test")


# ------------------------------------------------------------------------------------------------------- the rule
@pytest.mark.parametrize("name", ["a.png", "deep/a.png", "deep/../a.png", "./a.png"])
def test_what_stays_inside_is_let_through(name: str, tmp_path: Path) -> None:
    assert confined(tmp_path, name) == tmp_path / name


def test_the_folder_itself_may_be_a_link_of_yours(tmp_path: Path) -> None:
    (tmp_path / "big_disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "big_disk")
    assert confined(tmp_path / "data", "a.png") == tmp_path / "data" / "a.png"


@pytest.mark.parametrize("name", ["..", "a\0b", "../data2/a.png", "loop"])
def test_odd_names_are_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data" / "loop")
    with pytest.raises(FieldError, match=r"lies outside of|is no name of a file"):
        confined(tmp_path / "data", name)


def test_a_mask_that_is_a_link_out_of_slake_is_not_read(tmp_path: Path) -> None:
    from medvista.data.slake_masks import evidence_masks
    from medvista.types import Region, VQASample

    def sample(folder: Path) -> VQASample:
        return VQASample(
            id="1",
            benchmark="slake",
            split="test",
            question="?",
            answers=("a",),
            images=(folder / "source.jpg",),
            group_id="g",
            regions=(Region(box=(0, 0, 500, 500), label="Lung"),),
        )

    Image.new("L", (4, 4), 30).save(tmp_path / "private.png")
    folder = tmp_path / "slake" / "imgs" / "xmlab1"
    folder.mkdir(parents=True)
    (tmp_path / "slake" / "mask.txt").write_text("30:Lung\n")
    (folder / "mask.png").symlink_to(tmp_path / "private.png")
    assert evidence_masks(sample(folder)) == ()
    other = tmp_path / "slake" / "imgs" / "xmlab2"
    other.mkdir()
    (other / "mask.png").write_bytes((tmp_path / "private.png").read_bytes())
    assert len(evidence_masks(sample(other))) == 1
