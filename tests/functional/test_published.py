"""Published ways to read a response give what their scripts give, worked out by hand from the scripts."""

import pytest

from medvista.functional.published import (
    llava_med_closed,
    medxpertqa_option,
    mmmu_open,
    mmmu_option,
    mmmu_pro_option,
    most_similar_option,
)

FOUR = ("heart", "left lung", "right lung", "spleen")


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("yes", "yes", True),
        ("Yes, there is an effusion.", "yes", True),
        ("There is no effusion", "no", True),
        ("There is no effusion", "yes", False),
        ("It is normal", "no", True),  # "no" is found in "normal", as in the script
        ("CT", "CT", False),  # the script looks at yes and no only
        ("", "yes", False),
    ],
)
def test_llava_med_finds_yes_and_no_anywhere(prediction: str, answer: str, right: bool) -> None:
    assert llava_med_closed(prediction, [answer]) is right


@pytest.mark.parametrize(
    ("response", "index"),
    [
        ("B", 1),
        ("(B)", 1),
        ("B.", 1),
        ("The answer is B.", 1),
        ("(A) is wrong, so it is (C)", 2),  # the last one in brackets
        ("A and then (C)", 2),  # brackets before bare letters
        ("Not A but D here", 3),  # the last bare letter
        ("I believe it shows the left lung of a patient", 1),  # more than five words: by text
        ("the left lung it is", None),  # five words: MMMU draws by lot, we do not
        ("b", None),
        ("", None),
    ],
)
def test_mmmu_reads_the_last_letter_or_a_text_in_a_longer_response(response: str, index: int | None) -> None:
    assert mmmu_option(response, FOUR) == index


@pytest.mark.parametrize(
    ("response", "index"),
    [
        ("Answer: C", 2),
        ("Answer: A. Wait. Answer: (B)", 1),  # behind the last "Answer:"
        ("Answer: B or C", 2),  # two letters: as in MMMU, the last one between spaces
        ("D.", 3),
        ("Final: D. It is the spleen", 3),  # a letter before a full stop
        ("(A) is wrong, so it is (C)", 2),
        ("lung", None),
    ],
)
def test_mmmu_pro_looks_behind_answer_first(response: str, index: int | None) -> None:
    assert mmmu_pro_option(response, FOUR) == index


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        ("30", "30", True),
        ("30.004", "30", True),  # two decimals
        ("30.01", "30", False),
        ("So the answer is 36 watts.", "30", False),
        ("1,200 mL", "1200", True),
        ("x = 3e2", "300", True),
        ("The cell is a neutrophil", "neutrophil", True),
        ("The cell is a neutrophil\nThe stain is Giemsa", "Giemsa", True),
        ("lymphocyte", "neutrophil", False),
        ("1,200 answer final .", "1200", False),  # nothing behind "final": then what is behind "answer" counts
        ("a b", "b", True),  # one letter only beside a space
        ("abba", "b", False),
    ],
)
def test_mmmu_looks_for_an_open_answer_behind_its_indicators(response: str, answer: str, right: bool) -> None:
    assert mmmu_open(response, [answer]) is right


def test_pmc_vqa_takes_the_option_spelled_most_alike() -> None:
    assert most_similar_option("the left lung", FOUR) == 1
    assert most_similar_option("spleeen", FOUR) == 3
    assert most_similar_option("xyz", ("ab", "cd")) is None
    # SequenceMatcher("ab", "b") is 2 * 1 / 3 for both options: the first wins, as in the script's ">".
    assert most_similar_option("b", ("ab", "bc")) == 0


@pytest.mark.parametrize(
    ("response", "index"),
    [
        ("C", 2),
        ("The answer is (C).", 2),
        ("Among A through D, the answer is B.", 1),
        ("I understand. D", 3),
        ("It is not A, it is B", 0),  # the first letter, as in the script
        ("E", None),  # four options
        ("the heart", None),
    ],
)
def test_medxpertqa_takes_the_first_lone_letter(response: str, index: int | None) -> None:
    assert medxpertqa_option(response, FOUR) == index
