"""Nothing that a stranger wrote is executed: no pickle, no code of a model folder, and nobody is asked about it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from medvista.data.archives import unpack_zip
from medvista.errors import UserError
from medvista.policies import VLMPolicy


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def model_folder(nano: VLMPolicy, folder: Path) -> Path:
    nano.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_model_folder_with_code_of_its_own_is_refused_without_a_question(
    file: str, nano: VLMPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(nano, tmp_path / "model")
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    kinds = ("AutoConfig", "AutoModelForImageTextToText", "AutoImageProcessor")
    values = json.loads((folder / file).read_text())
    values["auto_map"] = dict.fromkeys(kinds, "theirs.Theirs")
    values |= {"model_type": "theirs"} if file == "config.json" else {"image_processor_type": "Theirs"}
    (folder / file).write_text(json.dumps(values))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a person was asked"))
    with pytest.raises(UserError, match="custom code") as raised:
        VLMPolicy.from_pretrained(folder)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "executed").exists()


def test_pickled_weights_of_a_model_are_not_executed(nano: VLMPolicy, tmp_path: Path) -> None:
    folder = model_folder(nano, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Evil(tmp_path / "executed")}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot load a vision-language model") as raised:
        VLMPolicy.from_pretrained(folder)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "executed").exists()


# ------------------------------------------------------------------------------------------------------------- archives
def test_an_archive_that_grows_a_thousandfold_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(70):  # 1.1 GiB
            archive.writestr(f"{number}.jpg", bytes(16 * 2**20))
    with pytest.raises(UserError, match=r"bomb\.zip would become 1 GiB, 1,\d+ times its size: do not trust it"):
        unpack_zip(tmp_path / "bomb.zip", tmp_path / "images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.zip"]


def test_an_archive_larger_than_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", bytes(1000))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 999}))
    with pytest.raises(UserError, match=r"has 0\.0 GiB left"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "images")


def test_a_torn_stream_in_an_archive_is_a_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(range(256)) * 50)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[40:60] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip cannot be unpacked .*; fetch it again"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_a_link_in_an_archive_becomes_a_plain_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    unpack_zip(tmp_path / "a.zip", tmp_path / "images")
    assert not (tmp_path / "images" / "link.jpg").is_symlink()
    assert (tmp_path / "images" / "link.jpg").read_text() == "/etc/passwd"
