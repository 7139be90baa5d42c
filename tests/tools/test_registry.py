"""Tools by name: built when asked for, absent with a reason, and strangers that break only themselves."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from medvista.errors import UserError
from medvista.tools import Tool, Toolbox, absent_tools, available_tools, find_tool
from medvista.tools.registry import ToolRegistry
from medvista.tools.suite import SUITE, SuiteEntry
from medvista.types import ToolResult

CORE = [entry for entry in SUITE if entry.name in ("zoom", "window")]
SOUND = "from medvista.tools import tool\nfrom medvista.types import ToolResult\n"
COUNT = SOUND + '@tool\ndef count(images) -> ToolResult:\n    """Count the images."""\n    return ToolResult()\n'


class Weights:
    """Look with weights."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, images: object) -> ToolResult:
        return ToolResult(data={"size": self.size})


def with_size(size: int = 1) -> Tool:
    return Tool(Weights(size), name="look")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a package on the path as an installer would: its source, then the ``name = target`` of its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(module: str, source: str, *points: str) -> None:
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text("[medvista.tools]\n" + "\n".join(points) + "\n", encoding="utf-8")

    return put


def test_a_factory_is_called_when_its_tool_is_first_asked_for_and_once():
    registry, calls = ToolRegistry(), []
    registry.register_factory("look", lambda: calls.append(1) or with_size())
    assert calls == []
    assert registry.find_tool("look") is registry.find_tool("look")
    assert calls == [1]


def test_options_reach_the_factory_and_make_a_tool_of_their_own():
    registry = ToolRegistry()
    registry.register_factory("look", with_size)
    assert registry.find_tool("look", size=3)([]).data == {"size": 3}
    assert registry.find_tool("look", size=3) is registry.find_tool("look", size=3)
    assert registry.find_tool("look")([]).data == {"size": 1}
    with pytest.raises(UserError, match=r"look is not available: its options do not fit: .*'colour'"):
        registry.find_tool("look", colour="red")


def test_a_toolbox_hands_each_tool_its_options():
    with pytest.raises(UserError, match="The tool zoom is not available: it takes no options, got size"):
        Toolbox.from_names(["zoom"], options={"zoom": {"size": 3}})
    assert Toolbox.from_names(["zoom"], options={"window": {"size": 3}}).names == ("zoom",)


def test_a_missing_package_makes_a_tool_absent_and_says_what_to_install():
    registry = ToolRegistry()
    registry.register_factory("read", with_size, needs="pip install reader", packages=["no_such_package.reader"])
    registry.register_factory("look", with_size)
    assert registry.available_tools() == ("look",)
    (reason,) = registry.absent_tools().values()
    assert reason.startswith("The tool read is not available: ")
    assert "no_such_package" in reason
    assert reason.endswith("; pip install reader.")
    with pytest.raises(UserError, match="pip install reader"):
        registry.find_tool("read")


def test_missing_weights_make_a_tool_absent_and_say_where_to_place_them(tmp_path):
    def from_file():
        (tmp_path / "weights.pth").read_bytes()

    registry = ToolRegistry()
    registry.register_factory("look", from_file, needs="place weights.pth there")
    assert "weights.pth" in registry.absent_tools()["look"]
    assert "place weights.pth there" in registry.absent_tools()["look"]


def test_a_tool_that_became_available_is_found(tmp_path):
    def from_file():
        (tmp_path / "weights.pth").read_bytes()
        return with_size()

    registry = ToolRegistry()
    registry.register_factory("look", from_file)
    assert registry.available_tools() == ()
    (tmp_path / "weights.pth").touch()
    assert registry.available_tools() == ("look",)


def test_a_name_is_given_once():
    registry = ToolRegistry(CORE)
    for register in (lambda: registry.register_factory("zoom", with_size), lambda: _register(registry, "zoom")):
        with pytest.raises(ValueError, match="'zoom' is already registered"):
            register()


def _register(registry, name):
    return registry.register_tool(Tool(Weights(1), name=name))


def test_a_tool_has_the_name_it_is_registered_by():
    registry = ToolRegistry([SuiteEntry(name="magnify", target="medvista.tools.builtin.zoom:zoom")])
    with pytest.raises(UserError, match="registered as 'magnify' calls itself 'zoom'"):
        registry.find_tool("magnify")


def test_a_tool_of_another_package_is_imported_only_when_asked_for(install):
    install("their_tools", COUNT, "count = their_tools:count")
    registry = ToolRegistry(CORE)
    assert "count" in registry.tool_names()
    registry.find_tool("zoom")
    assert "their_tools" not in sys.modules
    assert registry.find_tool("count").description == "Count the images."
    assert "their_tools" in sys.modules


def test_an_entry_point_may_name_a_function_that_builds_the_tool(install):
    install("their_factory", COUNT + "def make():\n    return count\n", "count = their_factory:make")
    assert ToolRegistry().find_tool("count").name == "count"


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("their_typo", "imprt this", "SyntaxError"),
        ("their_exit", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("their_need", "import no_such_package", "ModuleNotFoundError"),
        ("their_gap", "", "AttributeError"),
        ("their_text", "def count():\n    return 'three'", "returned str, not a Tool"),
    ],
)
def test_a_broken_entry_point_warns_once_and_breaks_nothing_else(install, caplog, module, source, reason):
    install(module, source, f"count = {module}:count")
    registry = ToolRegistry(CORE)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            absent = registry.absent_tools()
    assert reason in absent["count"]
    assert [record.message for record in caplog.records if module in record.message] == [
        message for message in caplog.messages if reason in message
    ]
    assert len(caplog.records) == 1
    assert "zoom" in registry.available_tools()
    with pytest.raises(UserError, match="mend or uninstall its package"):
        registry.find_tool("count")


def test_an_entry_point_cannot_take_the_name_of_a_tool_of_ours(install, caplog):
    install("their_zoom", COUNT, "zoom = their_zoom:count")
    registry = ToolRegistry(CORE)
    with caplog.at_level(logging.WARNING):
        registry.tool_names()
    assert "zoom = their_zoom:count is ignored" in caplog.text
    assert registry.find_tool("zoom") is find_tool("zoom")


def test_every_tool_of_the_suite_is_available_or_says_why_not():
    names = {entry.name for entry in SUITE}
    assert names <= set(available_tools()) | set(absent_tools())
    assert {"zoom", "window"} <= set(available_tools())
    for reason in absent_tools().values():
        assert " is not available: " in reason
