"""Archives and parquet files become plain files, whole or not at all, and never outside their folder."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from pathlib import Path

import pytest

from medvista.data.archives import unpack_zip
from medvista.data.hub_download import unpack
from medvista.data.parquet_rows import unpack_parquet
from medvista.data.registry import HubSource
from medvista.errors import UserError

MADE = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "benchmark_forms.py"))


@pytest.mark.parametrize("around", ["", "images/", "figures/"])
def test_the_folder_around_all_files_of_an_archive_goes(tmp_path: Path, around: str) -> None:
    MADE["write_zip"](tmp_path / "images.zip", {f"{around}a.jpg": b"a", f"{around}b.jpg": b"b", "__MACOSX/x": b""})
    assert unpack_zip(tmp_path / "images.zip", tmp_path / "images") == 2
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "images/../../evil", "a\\..\\evil", "C:/evil"])
def test_an_archive_that_names_files_outside_itself_is_refused(tmp_path: Path, name: str) -> None:
    MADE["write_zip"](tmp_path / "images.zip", {"good.jpg": b"", name: b"evil"})
    with pytest.raises(UserError, match="names a file outside itself"):
        unpack_zip(tmp_path / "images.zip", tmp_path / "images")
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]


def test_a_damaged_archive_leaves_no_half_folder(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", b"first" * 100)
        archive.writestr("b.jpg", b"second" * 100)
    (tmp_path / "images.zip").write_bytes(file.getvalue().replace(b"secondsecond", b"secondSECOND", 1))
    with pytest.raises(UserError, match=r"images.zip cannot be unpacked .*; fetch it again"):
        unpack_zip(tmp_path / "images.zip", tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_rows_keep_their_columns_and_an_image_that_rows_share_is_written_once(tmp_path: Path) -> None:
    images = [MADE["hub_image"](number % 2, "PNG") for number in range(5)]
    rows = [{"image": image, "question": f"中文 {n}", "answer": None} for n, image in enumerate(images)]
    MADE["write_parquet"](tmp_path / "a.parquet", rows[:3], ["image"])
    MADE["write_parquet"](tmp_path / "b.parquet", rows[3:], ["image"])
    assert unpack_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out", "part/dev") == 5
    read = [json.loads(line) for line in (tmp_path / "out/part/dev.jsonl").read_text().splitlines()]
    assert [(row["row"], row["question"], row["answer"]) for row in read] == [(n, f"中文 {n}", None) for n in range(5)]
    assert len(list((tmp_path / "out/images").iterdir())) == 2
    assert (tmp_path / "out" / read[1]["image"]).read_bytes() == MADE["picture"](1)
    assert read[1]["image"].endswith(".png")


def test_a_damaged_parquet_file_or_image_is_described_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(UserError, match=r"a.parquet is not an undamaged parquet file"):
        unpack_parquet([tmp_path / "a.parquet"], tmp_path / "out", "train")
    rows = [{"image": {"bytes": b"no image", "path": None}, "question": "?"}]
    MADE["write_parquet"](tmp_path / "b.parquet", rows, ["image"])
    with pytest.raises(UserError, match="holds an image that cannot be read"):
        unpack_parquet([tmp_path / "b.parquet"], tmp_path / "out", "train")
    assert not (tmp_path / "out/train.jsonl").exists()


def test_what_is_unpacked_is_not_unpacked_again(tmp_path: Path) -> None:
    source = HubSource(repo="a/b", folder="x", patterns=("*",), archives={"images.zip": "images"})
    MADE["write_zip"](tmp_path / "x/images.zip", {"a.jpg": b"a"})
    said: list[str] = []
    unpack(source, tmp_path, said.append)
    unpack(source, tmp_path, said.append)
    assert said == [f"unpacking {tmp_path / 'x/images.zip'}"]
