"""The turn grammar: text to `Action`, and back.

A turn is an optional thought, then exactly one tool call or one answer::

    <think>It is small.</think><tool_call>{"name": "zoom", "arguments": {"bbox_2d": [10, 20, 30, 40]}}</tool_call>
    <think>It is spiculated.</think><answer>spiculated</answer>

A call's JSON is read first, from the tag that opens it: inside a string of it, a tag of the grammar is text like any
other, so a tool may be asked for ``"</tool_call>"``. Anywhere else in a turn a tag is a tag.

`parse_action` is total: any text gives an `Action`. Messages of a `ParseError` name tags without angle brackets,
because the model reads them and an observation must not contain a tag of the grammar.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from medvista.types import Action, FinalAnswer, ParseError, ToolCall

MAX_CALL_CHARACTERS = 20_000  # no honest call is longer; bounds the work a runaway generation can cause
MAX_CALL_DEPTH = 16  # of lists and objects in each other; deeper ones make printing and copying recurse too far

TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>")

_TAG = re.compile(r"<(/?)(think|tool_call|answer)>")
_CALL_TAG, _CALL_END = "<tool_call>", "</tool_call>"
_CALL_FORM = '{"name": ..., "arguments": {...}}'


class _MalformedError(Exception):
    """Carries the message of a `ParseError` up to `parse_action`."""


def parse_action(text: str) -> Action:
    """Read one turn of the model.

    The opening tag of the thought may be missing, since some chat templates write it into the prompt.

    Args:
        text: what the model wrote, any text whatever.

    >>> parse_action("<think>Right lung.</think><answer>yes</answer>")
    FinalAnswer(text='yes', thought='Right lung.')
    """
    thought = ""
    try:
        thought, body = _split_thought(text)
        content = _json_of_call(body)
        if content is not None:
            return _read_call(content, thought)
        kind, content = _only_block(body)
        if kind == "answer":
            return _read_answer(content, thought)
        return _read_call(content, thought)
    except _MalformedError as error:
        return ParseError(message=str(error), thought=thought)


def format_action(action: ToolCall | FinalAnswer) -> str:
    """Write an action in the turn grammar, so that `parse_action` reads it back.

    Raises:
        ValueError: the action cannot be written, for instance an answer that contains a tag of the grammar.

    >>> format_action(ToolCall(name="zoom", arguments={"bbox_2d": [1, 2, 3, 4]}))
    '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4]}}</tool_call>'
    """
    thought = f"<think>{action.thought}</think>" if action.thought else ""
    if isinstance(action, ToolCall):
        call = json.dumps({"name": action.name, "arguments": dict(action.arguments)}, ensure_ascii=False)
        # Inside JSON a "<" is always in a string, where its escape means the same and cannot close the tag.
        text = f"{thought}<tool_call>{_escape_tags(call)}</tool_call>"
    else:
        text = f"{thought}<answer>{action.text}</answer>"
    reread = parse_action(text)
    if isinstance(reread, ParseError):
        raise ValueError(f"{action!r} cannot be written in the turn grammar: {reread.message}")
    return text


def _escape_tags(call: str) -> str:
    return _TAG.sub(lambda tag: "\\u003c" + tag.group()[1:], call)


def _split_thought(text: str) -> tuple[str, str]:
    """The thought and what follows it; the thought ends at the first closing tag."""
    text = text.strip()
    if _json_of_call(text) is not None:  # without a thought; the tag that closes one may stand in a string of the JSON
        return "", text
    opened = text.startswith("<think>")
    thought, closing, body = text.removeprefix("<think>").partition("</think>")
    if closing:
        if not opened and _TAG.search(thought):
            raise _MalformedError("The think block has to come first, before the tool_call or the answer.")
        if "<think>" in thought:
            raise _MalformedError("The thought opens a second think tag; write one think block at the start.")
        return thought.strip(), body.strip()
    if opened:
        raise _MalformedError("The think tag is not closed; close it, then write one tool_call or one answer.")
    return "", text


def _json_of_call(body: str) -> str | None:
    """The JSON of a body that is one call and nothing else; None for any other body."""
    if not body.startswith(_CALL_TAG):
        return None
    content = body.removeprefix(_CALL_TAG).lstrip()
    if len(content) > MAX_CALL_CHARACTERS + len(_CALL_END):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(content)
    except (ValueError, RecursionError):
        return None
    return content[:end] if content[end:].strip() == _CALL_END else None


def _only_block(body: str) -> tuple[str, str]:
    """Name and content of the one block that `body` has to consist of."""
    tags = list(_TAG.finditer(body))
    opened = [tag[2] for tag in tags if not tag[1]]
    if "think" in (tag[2] for tag in tags):
        raise _MalformedError("There is a think tag out of place; write one think block, at the start of the turn.")
    if not tags:
        found = "Text outside of tags" if body else "Nothing"
        raise _MalformedError(
            f"{found} where one tool_call or one answer was expected; write exactly one, in its tags."
        )
    if "tool_call" in opened and "answer" in opened:
        raise _MalformedError("There is both a tool_call and an answer; write only one of them in a turn.")
    if len(opened) > 1:
        raise _MalformedError(f"There are {len(opened)} {opened[0]} blocks; write exactly one in a turn.")
    if not opened:
        raise _MalformedError(f"The {tags[0][2]} tag is closed but was never opened.")
    if len(tags) == 1:
        raise _MalformedError(f"The {opened[0]} tag is not closed.")
    first, last = tags[0], tags[1]
    if len(tags) > 2 or first[1] or last[2] != first[2]:
        raise _MalformedError(f"The tags do not match; open and close {opened[0]} once.")
    if body[: first.start()]:
        raise _MalformedError(f"There is text before the {first[2]}; put thoughts in a think block.")
    if body[last.end() :]:
        raise _MalformedError(f"There is text after the {first[2]}; end the turn with its closing tag.")
    return first[2], body[first.end() : last.start()].strip()


def _read_answer(content: str, thought: str) -> FinalAnswer:
    if not content:
        raise _MalformedError("The answer is empty; write the answer between its tags.")
    return FinalAnswer(text=content, thought=thought)


def _read_call(content: str, thought: str) -> ToolCall:
    call = _load_json(content)
    if not isinstance(call, dict):
        raise _MalformedError(f"The tool_call has to be a JSON object {_CALL_FORM}, not {_json_type(call)}.")
    unknown = sorted(call.keys() - {"name", "arguments"})
    if "name" not in call:
        raise _MalformedError(f'The tool_call has no "name"; write {_CALL_FORM}.')
    if unknown:
        raise _MalformedError(
            f'The tool_call has an unknown key {_quoted(unknown[0])}; its keys are "name" and "arguments".'
        )
    if not isinstance(call["name"], str) or not call["name"].strip():
        raise _MalformedError('The "name" of the tool_call has to be a non-empty string.')
    if "arguments" not in call:
        raise _MalformedError('The tool_call has no "arguments"; write {} where the tool needs none.')
    if not isinstance(call["arguments"], dict):
        raise _MalformedError(f'The "arguments" have to be a JSON object, not {_json_type(call["arguments"])}.')
    return ToolCall(name=call["name"].strip(), arguments=call["arguments"], thought=thought)


def _load_json(content: str) -> Any:
    if not content:
        raise _MalformedError(f"The tool_call is empty; write {_CALL_FORM}.")
    if len(content) > MAX_CALL_CHARACTERS:
        raise _MalformedError(
            f"The tool_call is {len(content)} characters long; at most {MAX_CALL_CHARACTERS} are read."
        )
    try:
        call = json.loads(
            content, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite_float
        )
    except json.JSONDecodeError as error:
        near = content[max(error.pos - 10, 0) : error.pos + 10]
        raise _MalformedError(
            f"The JSON of the tool_call is broken at character {error.pos}, near {near!r}: {error.msg}."
        ) from None
    except RecursionError:
        raise _MalformedError("The JSON of the tool_call is nested too deeply.") from None
    except ValueError:  # an integer of thousands of digits
        raise _MalformedError("The JSON of the tool_call contains a number that is too large.") from None
    _refuse_unusable(call)
    return call


def _refuse_unusable(value: Any, depth: int = 0) -> None:
    """Refuse what JSON allows but later code could not print, write or compute with."""
    if depth > MAX_CALL_DEPTH:
        raise _MalformedError("The JSON of the tool_call is nested too deeply.")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_unusable(key, depth)
            _refuse_unusable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_unusable(item, depth + 1)
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise _MalformedError("The JSON of the tool_call contains half a character, an unpaired surrogate escape.")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise _MalformedError("The JSON of the tool_call contains a number that is too large.")


def _unique_keys(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _MalformedError(f"The JSON of the tool_call has the key {_quoted(key)} twice.")
        seen.add(key)
    return dict(pairs)


def _refuse_constant(constant: str) -> float:
    raise _MalformedError(f"The JSON of the tool_call contains {constant}, which is not a number.")


def _finite_float(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise _MalformedError("The JSON of the tool_call contains a number that is too large.")
    return number


def _quoted(key: str) -> str:
    """The start of a key, with no tag in it: the model reads the message."""
    return repr(_TAG.sub(lambda tag: tag[2], key)[:40])


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
