"""Text from outside commands nothing."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvista.outside_text import MAX_CHARACTERS, harmless
from medvista.parsing import TAGS

CONTROL = ["<|im_end|>", "<|image_pad|>", "<|start_header_id|>", "<|eot_id|>"]
COMMANDS = re.compile("|".join(map(re.escape, TAGS)) + r"|<\||\|>", re.IGNORECASE)


@pytest.mark.parametrize("sign", [*TAGS, *CONTROL, "<ANSWER>", "<Tool_Call>"])
def test_a_sign_is_broken_and_can_still_be_read(sign):
    shown = harmless(f"before {sign} after")
    assert not COMMANDS.search(shown)
    assert shown.replace(" ", "") == f"before{sign}after"


@settings(deadline=None)
@given(st.lists(st.sampled_from([*TAGS, *CONTROL, "<", ">", "|", "/", "answer", "think", "im_end", " ", "x"])))
def test_no_mixture_of_pieces_makes_a_sign(pieces):
    assert not COMMANDS.search(harmless("".join(pieces)))


@settings(deadline=None)
@given(st.text(st.characters(), max_size=50))
def test_any_text_can_be_encoded_and_is_shown_as_it_is_the_second_time(text):
    shown = harmless(text)
    shown.encode("utf-8")
    assert harmless(shown) == shown


def test_ordinary_text_is_left_alone():
    text = "Is 5 < 7 µm, p <0.05 | n> 3?\n\tHU \N{MINUS SIGN}700, „größer“ 図 </b> <answer"
    assert harmless(text) == text


def test_what_a_terminal_would_obey_is_replaced():
    assert harmless("a\x1b[2Jb\rc\x00") == "a\ufffd[2Jb\ufffdc\ufffd"
    assert harmless("one\r\ntwo") == "one\ntwo"


def test_a_long_text_is_cut_and_says_so():
    shown = harmless("x" * (MAX_CHARACTERS + 5))
    assert shown == "x" * MAX_CHARACTERS + " [5 characters more are not shown]"
