"""The tools at hand: ``python -m experiments.tools list | describe NAME | run NAME FILE... [key=value ...]``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from medvista.errors import UserError

_DESCRIPTION = """\
Lists the tools, describes one, or runs one on files and saves a picture of what it did.

examples:
  python -m experiments.tools list
  python -m experiments.tools describe zoom
  python -m experiments.tools run zoom scan.dcm bbox_2d=[400,300,700,600]
  python -m experiments.tools run compare left.png right.png image=[0,1] --save both.png
  python -m experiments.tools run segment scan.dcm bbox_2d=[400,300,700,600] options.backend=litemedsam

Coordinates are 0-1000 of the width or height of the image. Values are JSON, or else text. `options.KEY=VALUE` sets up
the tool itself (weights, corpus, ...), as `env.NAME.KEY` does in an experiment.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 1 where a tool failed, 2 after a user's mistake."""
    asked = _parser().parse_args(argv)
    try:
        with _quiet_registry():
            match asked.command:
                case "list":
                    print(list_text())
                case "describe":
                    print(describe_text(asked.name, _split(asked.items)[2]))
                case _:
                    return run(asked.name, asked.items, asked.save)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _quiet_registry() -> Iterator[None]:
    """What the registry warns of stands in the list, with its reason; who calls us from Python hears it again after."""
    registry = logging.getLogger("medvista.tools.registry")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        yield
    finally:
        registry.setLevel(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tools",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every tool in one line, and what the absent ones need")
    describe = commands.add_parser("describe", help="what a tool does and takes")
    describe.add_argument("name")
    describe.add_argument("items", nargs="*", metavar="options.KEY=VALUE")
    run_one = commands.add_parser("run", help="run a tool on files and save a picture of it")
    run_one.add_argument("name")
    run_one.add_argument("items", nargs="*", metavar="FILE | key=value | options.KEY=VALUE")
    run_one.add_argument("--save", type=Path, metavar="PNG", help="where to save the picture (default: NAME.png)")
    return parser


def list_text() -> str:
    """The tools that can be used here, then those that cannot, with the reason and what to install."""
    from medvista.tools import absent_tools, find_tool, tool_names

    absent = absent_tools()
    width = max(map(len, tool_names()))
    present = [name for name in tool_names() if name not in absent]
    lines = [f"{name:<{width}}  {_first_sentence(find_tool(name).description)}" for name in present]
    if absent:
        lines += ["", "not available here:", *(f"  {reason}" for reason in absent.values())]
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."


def describe_text(name: str, options: Mapping[str, Any]) -> str:
    """What a tool does and takes: as a person reads it, then as a model does.

    Raises:
        UserError: there is no such tool, or it is absent.
    """
    from medvista.tools import find_tool

    tool = find_tool(name, **options)
    required = tool.parameters.get("required", ())
    lines = [f"{tool.name}: {tool.description}", ""]
    for argument, schema in tool.parameters["properties"].items():
        need = f"default {json.dumps(schema['default'])}" if "default" in schema else "optional"
        need = "required" if argument in required else need
        lines.append(f"  {argument} ({_kind(schema)}; {need}): {schema.get('description', '')}".rstrip(": "))
    return "\n".join([*lines, "", "as models are told:", json.dumps(tool.schema, indent=2)])


def _kind(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words.

    >>> _kind({"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": 2})
    '2 of (number from 0)'
    """
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems", "any number")
        return f"{least if least == most else f'{least} to {most}'} of ({_kind(schema.get('items', {}))})"
    limits = [f"{word} {schema[key]}" for word, key in (("from", "minimum"), ("to", "maximum")) if key in schema]
    return " ".join([str(schema.get("type", "anything")), *limits])


def run(name: str, items: Sequence[str], save: Path | None = None) -> int:
    """Run a tool on files, print what it says and save a picture of what it did.

    Args:
        name: of the tool.
        items: files, ``key=value`` arguments and ``options.KEY=VALUE`` options, in any order.
        save: where to save the picture.

    Returns:
        0, or 1 where the tool failed.

    Raises:
        UserError: the tool is absent, a file cannot be read, or an argument does not fit.
    """
    from medvista.app.commands.tool_picture import tool_picture
    from medvista.imaging import read_image
    from medvista.tools import Toolbox, find_tool
    from medvista.types import ToolCall, ToolErrorType

    files, arguments, options = _split(items)
    toolbox = Toolbox([find_tool(name, **options)])
    images = [replace(read_image(path), source=index) for index, path in enumerate(files)]
    result = toolbox.run(ToolCall(name=name, arguments=arguments), images)
    if result.error is not None:
        if result.error.type is ToolErrorType.INVALID_ARGUMENTS:
            raise UserError(result.error.message)
        print(f"error: {result.error.message}", file=sys.stderr)
        return 1
    print(result.text)
    for key, value in result.data.items():
        print(f"  {key}: {f'{value:g}' if isinstance(value, float) else value}")
    save = save or Path(f"{name}.png")
    _save(tool_picture(images, arguments, result), save)
    print(f"{save} shows it ({result.seconds:.2f} s).")
    return 0


def _split(items: Sequence[str]) -> tuple[list[Path], dict[str, Any], dict[str, Any]]:
    """Files, arguments of the call and options of the tool."""
    files: list[Path] = []
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or Path(item).exists():
            files.append(Path(item))
        elif key.startswith("options."):
            options[key.removeprefix("options.")] = _value(value)
        else:
            arguments[key] = _value(value)
    return files, arguments, options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _save(picture: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except (OSError, ValueError) as error:  # Pillow raises ValueError for an unknown extension
        raise UserError(f"the picture cannot be saved as {path}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
