"""A line of a log is there as a whole or not at all, whatever the disk does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from medvista.data.line_log import LineLog


class SmallDisk(io.FileIO):
    """Takes a part of each write, as the system may, and is full after some bytes."""

    left = 10**9
    at_once = 7

    def write(self, data: object) -> int:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        part = bytes(memoryview(data))[: min(self.at_once, self.left)]  # type: ignore[arg-type]
        type(self).left -= len(part)
        return super().write(part)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> type[SmallDisk]:
    def opened(path: Path, mode: str, buffering: int = -1) -> Any:
        return SmallDisk(path, mode) if mode == "ab" else path.open(mode)

    monkeypatch.setattr("medvista.data.line_log.open", opened, raising=False)
    monkeypatch.setattr(SmallDisk, "left", 10**9)
    return SmallDisk


def test_a_write_that_takes_a_part_goes_on_with_the_rest(tmp_path: Path, small_disk: type[SmallDisk]) -> None:
    with LineLog(tmp_path / "log") as log:
        log.write(b'{"text": "longer than seven bytes"}\n')
    assert json.loads((tmp_path / "log").read_text()) == {"text": "longer than seven bytes"}


def test_a_disk_that_fills_up_leaves_whole_lines_and_the_log_goes_on_behind_them(
    tmp_path: Path, small_disk: type[SmallDisk]
) -> None:
    with LineLog(tmp_path / "log") as log:
        log.write(b'{"line": 1}\n')
        small_disk.left = 9
        with pytest.raises(OSError, match="No space left"):
            log.write(b'{"line": "the second"}\n')
        assert (tmp_path / "log").read_bytes() == b'{"line": 1}\n'
        small_disk.left = 100
        log.write(b'{"line": 3}\n')
    assert (tmp_path / "log").read_bytes() == b'{"line": 1}\n{"line": 3}\n'


@pytest.mark.parametrize("length", [10, 2**16 - 1, 2**16, 2**16 + 1, 200_000])
@pytest.mark.parametrize("before", [b"", b'{"a": 1}\n'])
def test_a_torn_last_line_is_dropped_and_a_whole_one_ended(length: int, before: bytes, tmp_path: Path) -> None:
    line = json.dumps({"text": "x" * length}).encode()
    for last, kept in ((line[:-5], before), (line, before + line + b"\n")):
        (tmp_path / "log").write_bytes(before + last)
        LineLog(tmp_path / "log").close()
        assert (tmp_path / "log").read_bytes() == kept
