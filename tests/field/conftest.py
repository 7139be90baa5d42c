"""Tables of all kinds, written where a test can read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medvista.data.benchmarks import read_benchmark
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.types import VQASample

TABLES = Path(__file__).parent / "tables"


@pytest.fixture(autouse=True)
def no_notices_yet() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


class Table:
    """A question set in a folder of its own, with the field's pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(TABLES / "img", folder / "img")

    def read(self, content: str | bytes, name: str = "t.csv", **columns: Any) -> list[VQASample]:
        """The test questions of a table with these columns beside question, answer, image and split."""
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)
        named = {"question": "question", "answer": "answer", "image": "file", "split": "split"} | columns
        given = {"name": "t", "questions": name, "images": "img", "columns": named}
        (self.folder / "t.yaml").write_text(json.dumps(given))  # JSON is YAML
        return read_benchmark(str(self.folder / "t.yaml"), None, "test")

    def refuse(self, content: str | bytes, name: str = "t.csv", **columns: Any) -> str:
        """The sentence that refuses a table."""
        with pytest.raises(UserError) as error:
            self.read(content, name, **columns)
        sentence = str(error.value)
        assert "\n" not in sentence
        assert name in sentence
        assert "official" not in sentence
        return sentence


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)
