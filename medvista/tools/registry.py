"""Tools by name: those that ship with the package, those of other packages, and your own.

A name may stand for a tool that is not built yet. It is built when it is first asked for, and absent, with a reason,
where a package or a file it needs is missing.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from medvista.errors import UserError
from medvista.tools.base import Tool
from medvista.tools.suite import SUITE, SuiteEntry

log = logging.getLogger(__name__)

GROUP = "medvista.tools"  # of entry points: name = "package.module:attribute", a `Tool` or a function that builds one

ToolFactory: TypeAlias = Callable[..., Tool]


@dataclass(slots=True, kw_only=True)
class _Entry:
    """A name of the registry, and what was built for it."""

    factory: ToolFactory
    needs: str = ""
    packages: tuple[str, ...] = ()
    built: dict[str, Tool] = field(default_factory=dict)  # by the options they were built with


class ToolRegistry:
    """Names to tools, each built at most once for the same options.

    Args:
        suite: the tools known from the start.
        third_party: entry points of other packages; by default those installed in group ``medvista.tools``. Only their
            names are read until one is asked for.
    """

    def __init__(self, suite: Iterable[SuiteEntry] = (), third_party: Iterable[EntryPoint] | None = None) -> None:
        self._entries: dict[str, _Entry] = {}
        self._third_party = third_party
        self._discovered = False
        self._warned: set[str] = set()
        self._lock = threading.RLock()
        for entry in suite:
            self.register_factory(entry.name, _load(entry.target), needs=entry.needs, packages=entry.packages)

    def register_tool(self, tool: Tool) -> Tool:
        """Make a tool known by its name, so that a configuration can ask for it.

        Raises:
            ValueError: another tool has that name.
        """
        with self._lock:
            entry = self._entries.get(tool.name)
            if entry is None:
                self._entries[tool.name] = _Entry(factory=lambda: tool, built={_key({}): tool})
            elif entry.built.get(_key({})) is not tool:
                raise ValueError(f"A tool named {tool.name!r} is already registered.")
        return tool

    def register_factory(self, name: str, factory: ToolFactory, needs: str = "", packages: Iterable[str] = ()) -> None:
        """Make a tool known that is built when it is first asked for.

        Args:
            name: what the model calls it; the tool built has to have this name.
            factory: builds the tool from keyword options of the user (none by default). It should be quick: look
                whether weights are there, and leave reading them to the first call. It raises `ImportError` where a
                package is missing, `UserError` or `OSError` where a file is.
            needs: what to install or place where, as a sentence for the user: ``"pip install medvista[tools]"``.
            packages: import names without which the factory is not even called.

        Raises:
            ValueError: another tool has that name.
        """
        with self._lock:
            if name in self._entries:
                raise ValueError(f"A tool named {name!r} is already registered.")
            self._entries[name] = _Entry(factory=factory, needs=needs, packages=tuple(packages))

    def find_tool(self, name: str, /, **options: Any) -> Tool:
        """The tool of that name, built on the first call with these options.

        Args:
            name: as registered.
            options: for its factory, for instance a path to weights.

        Raises:
            UserError: there is none, or it is absent here; the message says what to install.
        """
        with self._lock:
            if name not in self._entries:
                self._discover()
            if name not in self._entries:
                raise UserError(self._unknown(name))
            entry = self._entries[name]
            key = _key(options)
            if key not in entry.built:
                entry.built[key] = _build(name, entry, options)
            return entry.built[key]

    def tool_names(self) -> tuple[str, ...]:
        """Names of all tools, absent ones too."""
        with self._lock:
            self._discover()
            return tuple(self._entries)

    def available_tools(self) -> tuple[str, ...]:
        """Names of the tools that can be used here."""
        absent = self.absent_tools()
        return tuple(name for name in self.tool_names() if name not in absent)

    def absent_tools(self) -> dict[str, str]:
        """Names of the tools that cannot be used here, each with the reason and what to install."""
        reasons = {}
        for name in self.tool_names():
            try:
                self.find_tool(name)
            except UserError as error:
                reasons[name] = str(error)
        return reasons

    def _discover(self) -> None:
        """Register the names of third-party tools; nothing of theirs is imported yet."""
        if self._discovered:
            return
        self._discovered = True
        for point in entry_points(group=GROUP) if self._third_party is None else self._third_party:
            if point.name in self._entries:
                log.warning("the entry point %s = %s is ignored: a tool of that name exists", point.name, point.value)
                continue
            self.register_factory(point.name, self._third_party_factory(point))

    def _third_party_factory(self, point: EntryPoint) -> ToolFactory:
        def build(**options: Any) -> Tool:
            try:
                return _as_tool(point.load(), options)
            except Exception as error:  # a stranger's module may raise anything; the other tools go on
                raise self._broken(point, error) from error

        return build

    def _broken(self, point: EntryPoint, error: Exception) -> UserError:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        message = f"the entry point {point.name} = {point.value} gives no tool: {reason}"
        if point.name not in self._warned:
            self._warned.add(point.name)
            log.warning("%s", message)
        return UserError(f"{message}; mend or uninstall its package")

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._entries, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(self._entries))}."
        return f"There is no tool named {name!r}; {hint}"


def _load(target: str) -> ToolFactory:
    def build(**options: Any) -> Tool:
        module, _, attribute = target.partition(":")
        return _as_tool(getattr(importlib.import_module(module), attribute), options)

    return build


def _as_tool(found: Any, options: dict[str, Any]) -> Tool:
    """What an import target holds: a tool, or what a function there builds from the options."""
    if isinstance(found, Tool):
        if options:
            raise UserError(f"it takes no options, got {', '.join(options)}")
        return found
    made = _make(found, options)
    if not isinstance(made, Tool):
        raise TypeError(f"{found!r} returned {type(made).__name__}, not a Tool")
    return made


def _make(factory: ToolFactory, options: dict[str, Any]) -> Tool:
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise UserError(f"its options do not fit: {error}") from None
    return factory(**options)


def _build(name: str, entry: _Entry, options: dict[str, Any]) -> Tool:
    try:
        for package in entry.packages:
            if importlib.util.find_spec(package) is None:
                raise ImportError(f"the package {package} is not installed")
        made = _make(entry.factory, options)
    except UserError as error:
        raise UserError(f"The tool {name} is not available: {str(error).rstrip('.')}.") from error
    except (ImportError, OSError) as error:
        advice = f"; {entry.needs}" if entry.needs else ""
        raise UserError(f"The tool {name} is not available: {error}{advice}.") from error
    if made.name != name:
        raise UserError(f"The tool registered as {name!r} calls itself {made.name!r}; give both the same name.")
    return made


def _key(options: dict[str, Any]) -> str:
    return json.dumps(options, sort_keys=True, default=str)


REGISTRY = ToolRegistry(SUITE)
register_tool = REGISTRY.register_tool
register_factory = REGISTRY.register_factory
find_tool = REGISTRY.find_tool
tool_names = REGISTRY.tool_names
available_tools = REGISTRY.available_tools
absent_tools = REGISTRY.absent_tools
