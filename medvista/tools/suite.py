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
    SuiteEntry(name="zoom", target="medvista.tools.zoom:zoom"),
    SuiteEntry(name="window", target="medvista.tools.window:window"),
    SuiteEntry(name="rotate", target="medvista.tools.rotate:rotate"),
    SuiteEntry(name="slice", target="medvista.tools.slice_volume:slice_volume"),
    SuiteEntry(name="segment", target="medvista.tools.segment:build_segment"),
)
