"""A file of lines that only grows: after a kill, or on a full disk, each line is there as a whole or not at all.

A line is a JSON object whose last field may be a checksum of all before it, ``"crc32": "1c291ca3"``: what reads such
files by other means is given one field more.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_STEP = 2**16  # bytes that are read at a time to find where the last line begins
_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}(\s*)\Z')


class DamagedLineError(Exception):
    """A line is not as it was written."""


def with_checksum(line: bytes) -> bytes:
    r"""A JSON object on a line, with its checksum as the last field.

    >>> with_checksum(b'{"a":1}\n')
    b'{"a":1,"crc32":"561bacaf"}\n'
    """
    body = line.rstrip()
    return body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def without_checksum(line: bytes) -> bytes:
    r"""The line as it was before `with_checksum`; a line that has none is given back as it is.

    Raises:
        DamagedLineError: the checksum is another.

    >>> without_checksum(b'{"a":1,"crc32":"561bacaf"}\n')
    b'{"a":1}\n'
    """
    found = _CHECKSUM.search(line, max(len(line) - 64, 0))
    if found is None:
        return line
    body = line[: found.start()] + b"}"
    if zlib.crc32(body) != int(found[1], 16):
        raise DamagedLineError(
            "its text is not the one that was written, as its checksum says (of a line that you have changed yourself, "
            'take out the last field, "crc32")'
        )
    return body + found[2]


class LineLog:
    """Appends lines, each passed on at once, so that a kill falls between lines or tears the last one.

    Opening it drops a last line that a kill left torn, and ends with a newline one that only lacks that.

    Args:
        path: of the file, one JSON object a line; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        _mend_last_line(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by `close`

    def write(self, line: bytes) -> None:
        """Adds a line, all of it: a disk that fills up may take a part, which is cut off again.

        Raises:
            OSError: it cannot be written; the file has what it had before.
        """
        start = os.fstat(self._file.fileno()).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except BaseException:
            with suppress(OSError):
                self._file.truncate(start)
            raise

    def close(self) -> None:
        """Ends it."""
        self._file.close()

    def __enter__(self) -> LineLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _mend_last_line(path: Path) -> None:
    if not path.exists():
        return
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file.fileno(), size)
        if start == size:
            return
        file.seek(start)
        last = file.read()
        try:
            json.loads(last)
        except ValueError:
            file.truncate(start)
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")


def _start_of_last_line(handle: int, size: int) -> int:
    """Where the line begins that has no newline at its end; `size` where the file ends with one."""
    end = size
    while end > 0:
        begin = max(end - _STEP, 0)
        newline = os.pread(handle, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0
