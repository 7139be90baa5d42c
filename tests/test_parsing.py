"""The turn grammar."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.parsing import MAX_CALL_CHARACTERS, format_action, parse_action
from medvista.types import FinalAnswer, ParseError, ToolCall

ZOOM = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4]}}</tool_call>'

pieces = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", '{"name": "a", "arguments": {}}']
    + ["{", "}", "[", "NaN", "1e999", '"\\ud800"', " ", "\n", "yes", "{}", '"name"', ":", ","]
)
plain = st.text(st.characters(codec="utf-8"), max_size=30).map(str.strip).filter(lambda text: "<" not in text)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_a_thought_and_a_call_are_read():
    action = parse_action(f"<think> Look closer. </think>\n{ZOOM}\n")
    assert action == ToolCall(name="zoom", arguments={"bbox_2d": [1, 2, 3, 4]}, thought="Look closer.")


def test_an_answer_without_a_thought_is_read():
    assert parse_action("<answer> left lung </answer>") == FinalAnswer(text="left lung")


def test_a_thought_may_begin_in_the_prompt():
    assert parse_action("So yes.</think><answer>yes</answer>") == FinalAnswer(text="yes", thought="So yes.")


def test_a_thought_may_quote_the_tags_of_the_grammar():
    action = parse_action(f"<think>{ZOOM} or <answer>no</answer>?</think><answer>yes</answer>")
    assert action == FinalAnswer(text="yes", thought=f"{ZOOM} or <answer>no</answer>?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Nothing where one tool_call or one answer was expected"),
        ("yes", "Text outside of tags"),
        ("<think>hm", "think tag is not closed"),
        ("<think>hm</think>", "Nothing where"),
        ("<think>a<think>b</think><answer>c</answer>", "second think tag"),
        ("<answer>a</answer><think>b</think>", "think block has to come first"),
        ("<think>a</think><answer>b</answer><think>c</think>", "think tag out of place"),
        (f"{ZOOM}<answer>yes</answer>", "both a tool_call and an answer"),
        (f"{ZOOM}{ZOOM}", "2 tool_call blocks"),
        ("<answer>a</answer><answer>b</answer><answer>c</answer>", "3 answer blocks"),
        ("<answer>yes", "answer tag is not closed"),
        ("yes</answer>", "closed but was never opened"),
        ("<answer>yes</tool_call>", "tags do not match"),
        ("<answer>yes</answer></answer>", "tags do not match"),
        ("<answer>  </answer>", "answer is empty"),
        (f"Let me see. {ZOOM}", "text before the tool_call"),
        ("<answer>yes</answer> I think", "text after the answer"),
        ("<tool_call></tool_call>", "tool_call is empty"),
        ('<tool_call>{"name": "zoom",}</tool_call>', "broken at character 16"),
        ("<tool_call>[1]</tool_call>", "a JSON object"),
        ('<tool_call>{"arguments": {}}</tool_call>', 'no "name"'),
        ('<tool_call>{"name": 3, "arguments": {}}</tool_call>', "non-empty string"),
        ('<tool_call>{"name": " ", "arguments": {}}</tool_call>', "non-empty string"),
        ('<tool_call>{"name": "zoom"}</tool_call>', 'no "arguments"'),
        ('<tool_call>{"name": "zoom", "parameters": {}}</tool_call>', "unknown key 'parameters'"),
        ('<tool_call>{"name": "zoom", "arguments": [1, 2]}</tool_call>', "not a list"),
        ('<tool_call>{"name": "zoom", "arguments": null}</tool_call>', "not null"),
        ('<tool_call>{"name": "zoom", "name": "window", "arguments": {}}</tool_call>', "key 'name' twice"),
        ('<tool_call>{"name": "zoom", "arguments": {"image": NaN}}</tool_call>', "NaN, which is not a number"),
        ('<tool_call>{"name": "zoom", "arguments": {"image": -Infinity}}</tool_call>', "-Infinity"),
        ('<tool_call>{"name": "zoom", "arguments": {"image": 1e999}}</tool_call>', "too large"),
        (f'<tool_call>{{"name": "zoom", "arguments": {{"image": 1{"0" * 30}}}}}</tool_call>', "too large"),
        (f'<tool_call>{{"name": "zoom", "arguments": {{"image": {"9" * 6000}}}}}</tool_call>', "too large"),
        ('<tool_call>{"name": "zoom", "arguments": {"a": "\\ud800"}}</tool_call>', "unpaired surrogate"),
        (f"<tool_call>{'[' * 30}{']' * 30}</tool_call>", "nested too deeply"),
        (f"<tool_call>{'[' * 9000}{']' * 9000}</tool_call>", "nested too deeply"),
        (f"<tool_call>{' ' * (MAX_CALL_CHARACTERS)}x{{}}</tool_call>", "broken at character"),
        (f'<tool_call>"{"x" * MAX_CALL_CHARACTERS}"</tool_call>', "characters long"),
    ],
)
def test_a_malformed_turn_is_told_what_to_mend(text, said):
    action = parse_action(text)
    assert isinstance(action, ParseError)
    assert said in action.message


def test_the_thought_of_a_malformed_turn_is_kept():
    action = parse_action("<think>It is round.</think>round")
    assert isinstance(action, ParseError)
    assert action.thought == "It is round."


@given(st.text() | st.lists(pieces, max_size=12).map("".join))
def test_any_text_gives_an_action_and_no_message_contains_a_tag(text):
    action = parse_action(text)
    assert isinstance(action, ToolCall | FinalAnswer | ParseError)
    if isinstance(action, ParseError):
        assert action.message
        assert not any(f"{opening}{tag}>" in action.message for opening in ("<", "</") for tag in ("think", "answer"))


@given(plain.filter(bool), plain)
def test_a_written_answer_reads_back(text, thought):
    answer = FinalAnswer(text=text, thought=thought)
    assert parse_action(format_action(answer)) == answer


@given(plain.filter(bool), st.dictionaries(st.text(), json_values, max_size=3), plain)
def test_a_written_call_reads_back(name, arguments, thought):
    call = ToolCall(name=name, arguments=arguments, thought=thought)
    assert parse_action(format_action(call)) == call


def test_an_argument_may_contain_the_closing_tag():
    call = ToolCall(name="ground", arguments={"phrase": "</tool_call><answer>yes</answer>"})
    assert parse_action(format_action(call)) == call


@pytest.mark.parametrize(
    "action",
    [
        FinalAnswer(text="a</answer><answer>b"),
        FinalAnswer(text=""),
        FinalAnswer(text="a", thought="b</think>c"),
        ToolCall(name="", arguments={}),
        ToolCall(name="zoom", arguments={"image": float("nan")}),
    ],
)
def test_what_the_grammar_cannot_hold_is_refused(action):
    with pytest.raises(ValueError, match="cannot be written"):
        format_action(action)


def test_a_call_is_written_as_plain_json_on_one_line():
    text = format_action(ToolCall(name="window", arguments={"preset": "bone"}, thought="Dense?"))
    assert text == '<think>Dense?</think><tool_call>{"name": "window", "arguments": {"preset": "bone"}}</tool_call>'
    assert json.loads(text.split("<tool_call>")[1].removesuffix("</tool_call>"))["name"] == "window"
