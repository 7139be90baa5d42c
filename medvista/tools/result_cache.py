"""Results of earlier calls, by images and arguments."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from medvista.tools.base import Tool
from medvista.tools.image_hash import image_hash
from medvista.types import MedicalImage, ToolResult

CacheKey: TypeAlias = tuple[str, tuple[bytes, ...], str]

_OVERHEAD = 2048  # bytes counted for a result beside its pixels


class ResultCache:
    """Keeps successful results, up to so many bytes; what was used longest ago goes first. Safe between threads.

    Worth it for tools that take longer than hashing their arguments (0.1 ms), and only for tools that give the same
    result for the same arguments. A copy starts empty.

    Args:
        max_bytes: of all results together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._results: OrderedDict[CacheKey, tuple[ToolResult, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultCache, (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._results)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def key(self, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]) -> CacheKey:
        """What a result depends on: the tool, all images of the episode in order, the checked arguments."""
        properties = tool.parameters["properties"].items()
        defaults = {name: schema["default"] for name, schema in properties if "default" in schema}
        written = json.dumps(_canonical({**defaults, **arguments}), sort_keys=True, default=repr)
        return tool.name, tuple(image_hash(image) for image in images), written

    def get(self, key: CacheKey) -> ToolResult | None:
        """The result of an equal call, if it is still here."""
        with self._lock:
            known = self._results.get(key)
            if known is None:
                return None
            self._results.move_to_end(key)
            return known[0]

    def put(self, key: CacheKey, result: ToolResult) -> None:
        """Keep a successful result; a failure may be of the moment."""
        if not result.ok:
            return
        # Copied: a crop is a view, which would keep its whole source in memory.
        images = tuple(replace(image, pixels=image.pixels.copy()) for image in result.images)
        size = _OVERHEAD + sum(image.pixels.nbytes for image in images) + sum(m.pixels.nbytes for m in result.masks)
        if size > self.max_bytes:
            return
        with self._lock:
            self._bytes += size - self._results.pop(key, (None, 0))[1]
            self._results[key] = replace(result, images=images), size
            while self._bytes > self.max_bytes:
                _, (_, freed) = self._results.popitem(last=False)
                self._bytes -= freed


def _canonical(value: Any) -> Any:
    """Equal arguments, equally written: 2.0 as 2, tuples as lists."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    return value
