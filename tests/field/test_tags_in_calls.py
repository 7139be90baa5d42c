"""A tag of the grammar inside a string of a call is text; anywhere else it is a tag."""

from __future__ import annotations

import json

import pytest

from medvista.parsing import parse_action
from medvista.types import ParseError, ToolCall

TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>")


def call(phrase: str, key: str = "phrase") -> str:
    return f"<tool_call>{json.dumps({'name': 'ground', 'arguments': {key: phrase}})}</tool_call>"


@pytest.mark.parametrize("tag", [*TAGS, '</tool_call>"', "</tool_call>}</tool_call>", "<answer>yes</answer>"])
@pytest.mark.parametrize("thought", ["", "<think>Where?</think>", "Where?</think>\n"])
def test_a_tag_in_a_string_of_the_call_is_text(tag: str, thought: str) -> None:
    action = parse_action(f"{thought}{call(f'a {tag} b')}\n")
    expected = "Where?" if thought else ""
    assert action == ToolCall(name="ground", arguments={"phrase": f"a {tag} b"}, thought=expected)


def test_a_tag_in_a_key_is_text_too() -> None:
    action = parse_action(call("lung", key="</tool_call>"))
    assert action == ToolCall(name="ground", arguments={"</tool_call>": "lung"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (call("</tool_call>") + call("b"), "tool_call blocks"),
        (call("</tool_call>") + "<answer>yes</answer>", "both a tool_call and an answer"),
        (call("</tool_call>") + " then", "tags do not match"),
        ('<tool_call>{"name": "ground", "arguments": {"phrase": "</tool_call>', "broken at character"),
        ('<tool_call>{"name": "ground", "arguments": {}, "</answer>": 1}</tool_call>', "unknown key 'answer'"),
        ('<tool_call>{"</think>": 1, "</think>": 2}</tool_call>', "key 'think' twice"),
    ],
)
def test_a_tag_outside_of_one_whole_call_still_counts(text: str, said: str) -> None:
    action = parse_action(text)
    assert isinstance(action, ParseError)
    assert said in action.message
    assert not any(tag in action.message for tag in TAGS)
