"""The hub's parquet files -> rows as JSON lines and images as files (the form that `medvista.data.hub_rows` reads).

Needs pyarrow, the extra ``hub``; reading the result needs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from medvista.data.atomic import replacing
from medvista.data.json_fields import plain
from medvista.errors import UserError

_ROWS_AT_ONCE = 64  # rows carry their images: a few at a time


def unpack_parquet(files: Sequence[Path], folder: Path, split: str) -> int:
    """Write ``<split>.jsonl`` and the images of parquet files into a folder.

    An image is named after its bytes, so one that many rows share is written once.

    Args:
        files: the parts of one split, in order.
        folder: what to write into.
        split: names the JSON lines; may hold a ``/``.

    Returns:
        The number of rows.

    Raises:
        UserError: pyarrow is not installed, a file is damaged, or an image is none.
    """
    path = folder / f"{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    count = 0
    with replacing(path) as output:
        for row in _rows(files):
            values = plain({name: _without_image(value, folder) for name, value in row.items()})  # NaN becomes null
            output.write(json.dumps(values | {"row": count}, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def _rows(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("reading parquet files needs pyarrow: pip install 'medvista[hub]'") from None
    for path in files:
        try:
            with pyarrow.parquet.ParquetFile(path) as table:
                for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
                    yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{path} is not an undamaged parquet file ({error}); fetch it again") from None


def _without_image(value: Any, folder: Path) -> Any:
    """The value with an image, as the hub stores it (``{"bytes", "path"}``), replaced by the path of its file."""
    if isinstance(value, list):
        return [_without_image(item, folder) for item in value]
    if not isinstance(value, dict) or set(value) != {"bytes", "path"}:
        return value
    return _write_image(value["bytes"], folder) if value["bytes"] else None


def _write_image(content: bytes, folder: Path) -> str:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            extension = str(picture.format).lower()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise UserError(f"a parquet file holds an image that cannot be read ({error}); fetch it again") from None
    name = f"images/{hashlib.sha256(content).hexdigest()[:32]}.{'jpg' if extension == 'jpeg' else extension}"
    if not (folder / name).exists():
        with replacing(folder / name) as file:
            file.write(content)
    return name
