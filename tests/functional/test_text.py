"""Answers are scored as a person labelled them by hand: these tables decide, and the scorer follows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvista.errors import UserError
from medvista.functional.options import answer_options
from medvista.functional.spelling import normalise_answer
from medvista.functional.text import bleu_1, exact_match, token_f1, token_recall

RIGHT, WRONG = True, False

FREE = [  # prediction, accepted answer, label
    # case, space and punctuation at the edges
    ("Yes", "yes", RIGHT),
    ("YES.", "Yes", RIGHT),
    ("  yes  ", "yes", RIGHT),
    ("yes\n", "yes", RIGHT),
    ('"Yes"', "yes", RIGHT),
    ("Yes!", "yes", RIGHT),
    ("", "yes", WRONG),
    (".", "yes", WRONG),
    # yes and no inside sentences
    ("Yes, there is an effusion", "yes", WRONG),
    ("There is no effusion", "no", WRONG),
    ("no effusion", "no", WRONG),
    ("yes and no", "yes", WRONG),
    ("yes/no", "yes", WRONG),
    ("not yes", "yes", WRONG),
    ("yesno", "yes", WRONG),
    ("y", "yes", WRONG),
    ("true", "yes", WRONG),
    ("maybe", "no", WRONG),
    # negation
    ("effusion", "no effusion", WRONG),
    ("no effusion", "effusion", WRONG),
    ("no evidence of effusion", "effusion", WRONG),
    ("non-enhancing tumor", "enhancing tumor", WRONG),
    ("non enhancing tumor", "non-enhancing tumor", RIGHT),
    ("abnormal", "normal", WRONG),
    ("it isn't enlarged", "it is enlarged", WRONG),
    ("it isnt enlarged", "it isn't enlarged", RIGHT),
    ("HER2+", "HER2-", WRONG),
    ("HER2 (+)", "HER2 (-)", WRONG),
    ("HER2 +", "HER2 -", WRONG),
    ("ER+/PR-", "ER-/PR-", WRONG),
    ("ER+/PR-", "ER+, PR-", RIGHT),
    ("CD3+CD20-", "CD3-CD20-", WRONG),
    ("≠ 5", "= 5", WRONG),
    ("≠ 5", "5", WRONG),
    ("≠5", "≠ 5", RIGHT),
    ("!= 5", "≠ 5", RIGHT),
    ("without contrast", "with contrast", WRONG),
    # laterality and position
    ("left lung", "right lung", WRONG),
    ("left", "left lung", WRONG),
    ("left lung", "left", WRONG),
    ("left and right lung", "left lung", WRONG),
    ("left or right", "left", WRONG),
    ("Left Lung, Right", "Right Lung, Left", WRONG),
    ("the left lung", "Left Lung", RIGHT),
    ("left-lung", "left lung", RIGHT),
    ("upper left lung", "lower left lung", WRONG),
    ("bilateral", "left and right", WRONG),
    ("both", "both lungs", WRONG),
    # numbers
    ("two", "2", RIGHT),
    ("Two nodules", "2 nodules", RIGHT),
    ("none", "0", RIGHT),
    ("12", "2", WRONG),
    ("2.5", "25", WRONG),
    ("2.5", "2,5", WRONG),
    ("1,200", "1200", RIGHT),
    ("1,2", "12", WRONG),
    ("-100 HU", "100 HU", WRONG),
    ("−100 HU", "-100 HU", RIGHT),
    ("10-20", "1020", WRONG),
    ("10–20 minutes", "10-20 minutes", RIGHT),
    ("< 5 mm", "> 5 mm", WRONG),
    ("<5 mm", "< 5 mm", RIGHT),
    ("second", "2", WRONG),
    ("1½", "11/2", WRONG),
    ("1½", "1 1/2", RIGHT),
    ("½", "1/2", RIGHT),
    # units
    ("5mm", "5 mm", RIGHT),
    ("5 cm", "5 mm", WRONG),
    ("5", "5 mm", WRONG),
    ("50 mm", "5 cm", WRONG),
    ("3.4cm.", "3.4 cm", RIGHT),
    ("40 %", "40%", RIGHT),
    # articles
    ("a nodule", "nodule", RIGHT),
    ("hepatitis A", "hepatitis", WRONG),
    ("Hepatitis A", "hepatitis a", RIGHT),
    ("a", "the", WRONG),
    # plurals, synonyms and details that must not pass
    ("kidney", "kidneys", WRONG),
    ("MRI", "MR", WRONG),
    ("heart", "cardiac", WRONG),
    ("chest", "thorax", WRONG),
    ("lung cancer", "cancer", WRONG),
    ("Heart, Lung", "Lung, Heart", WRONG),
    ("intestine", "small intestine", WRONG),
    # spellings of the same
    ("Xray", "X-ray", WRONG),
    ("x ray", "X-Ray", RIGHT),
    ("X‑ray", "x-ray", RIGHT),
    ("MRI - T2 weighted", "MRI T2-weighted", RIGHT),
    ("T1 weighted", "T2 weighted", WRONG),
    ("Crohn’s disease", "Crohns disease", RIGHT),
    ("Lung,Heart", "Lung, Heart", RIGHT),
    ("µm", "μm", RIGHT),
]


@pytest.mark.parametrize(("prediction", "answer", "label"), FREE)
def test_a_free_answer_scores_as_labelled_by_hand(prediction: str, answer: str, label: bool) -> None:
    assert exact_match(prediction, [answer]) is label


LUNGS = ("right lung", "left lung", "both lungs", "neither lung")
BACTERIA = ("S. aureus", "E. coli", "C. difficile", "K. pneumoniae", "P. aeruginosa")
BLOOD = ("B", "A", "AB", "0")

CHOICES = [  # prediction, gold, choices, label
    ("B", "left lung", LUNGS, RIGHT),
    ("b", "left lung", LUNGS, RIGHT),
    ("(B)", "left lung", LUNGS, RIGHT),
    ("B.", "left lung", LUNGS, RIGHT),
    ("**B**", "left lung", LUNGS, RIGHT),
    ("B) left lung", "left lung", LUNGS, RIGHT),
    ("B: Left lung.", "left lung", LUNGS, RIGHT),
    ("(B) the left lung", "left lung", LUNGS, RIGHT),
    ("left lung", "left lung", LUNGS, RIGHT),
    ("The left lung.", "left lung", LUNGS, RIGHT),
    ("left lung", "B", LUNGS, RIGHT),
    ("B", "B", LUNGS, RIGHT),
    ("A", "left lung", LUNGS, WRONG),
    ("right lung", "left lung", LUNGS, WRONG),
    ("B) right lung", "left lung", LUNGS, WRONG),  # letter and text disagree
    ("A) left lung", "left lung", LUNGS, WRONG),
    ("left", "left lung", LUNGS, WRONG),
    ("A or B", "left lung", LUNGS, WRONG),
    ("AB", "left lung", LUNGS, WRONG),
    ("A, B", "left lung", LUNGS, WRONG),
    ("not B", "left lung", LUNGS, WRONG),
    ("F", "left lung", LUNGS, WRONG),
    ("2", "left lung", LUNGS, WRONG),
    ("", "left lung", LUNGS, WRONG),
    ("Because B is left", "left lung", LUNGS, WRONG),
    ("a lung", "lung", ("heart", "lung"), RIGHT),  # an article, not option A
    ("A) lung", "lung", ("heart", "lung"), WRONG),  # option A, which is the heart
    ("E. coli", "E. coli", BACTERIA, RIGHT),  # the text of B, not the letter E
    ("e. coli", "E. coli", BACTERIA, RIGHT),
    ("E. coli", "P. aeruginosa", BACTERIA, WRONG),
    ("B. E. coli", "E. coli", BACTERIA, RIGHT),
    ("E", "P. aeruginosa", BACTERIA, RIGHT),
    ("AB", "AB", BLOOD, RIGHT),
    ("A", "B", BLOOD, RIGHT),  # a lone letter is a letter: option A, whose text is "B"
    ("D", "0", BLOOD, RIGHT),
    ("HER2+", "HER2-", ("HER2-", "HER2+"), WRONG),
    ("HER2-", "HER2-", ("HER2-", "HER2+"), RIGHT),
    ("no effusion", "effusion", ("effusion", "no effusion"), WRONG),
]


@pytest.mark.parametrize(("prediction", "answer", "choices", "label"), CHOICES)
def test_a_choice_scores_as_labelled_by_hand(prediction: str, answer: str, choices: tuple, label: bool) -> None:
    assert exact_match(prediction, [answer], choices) is label


def test_no_answer_is_wrong() -> None:
    assert not exact_match(None, ["yes"])
    assert not exact_match(None, ["left lung"], LUNGS)
    assert not exact_match("yes", [])


def test_any_accepted_answer_will_do() -> None:
    assert exact_match("MR", ["MRI", "MR"])


def test_a_gold_answer_that_is_no_option_is_an_error_and_not_a_wrong_answer() -> None:
    with pytest.raises(UserError, match=r"None of the answers \['spleen'\] is among the choices"):
        exact_match("B", ["spleen"], LUNGS)


@pytest.mark.parametrize("choices", [LUNGS, BACTERIA, BLOOD])
def test_every_option_is_found_by_its_letter_and_by_its_text(choices: tuple[str, ...]) -> None:
    for index, choice in enumerate(choices):
        assert answer_options([choice], choices) == {index}
        assert exact_match("ABCDE"[index], [choice], choices)
        assert exact_match(f"({'ABCDE'[index]}) {choice}", [choice], choices)


WORDS = ["left", "Lung", "x-ray", "2.5", "cm", "the", "A", "HER2+", "<", "5mm", "-3", "none", "No.", "(two)", "1,200"]
WORDS += [
    "1/2",
    "10-20",
    "-",
    ">=",
    "5x3",
    "cm²",
    "10²",
    ".5",
    "2.0",
    "percent",
    "×",
    "左肺。",
    "Sjo\u0308gren",
    "'s",
    "*B*",
    "1½",
    "≠5",
    "ER+/PR-",
    "CD3+CD20-",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_a_normalised_answer_is_left_as_it_is(text: str) -> None:
    once = normalise_answer(text)
    assert normalise_answer(once) == once


@settings(deadline=None)
@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=5))
def test_scoring_never_fails_on_any_prediction(prediction: str, answer: str, choices: list[str]) -> None:
    exact_match(prediction, [answer])
    exact_match(prediction, ["left lung"], [*choices, "left lung"])


def test_token_scores_by_hand() -> None:
    # "a" is dropped: of the three words wanted two are said, of the four words said two are wanted.
    assert token_recall("a mass in left lung", ["left lower lung"]) == pytest.approx(2 / 3)
    assert token_f1("a mass in left lung", ["left lower lung"]) == pytest.approx(4 / 7)
    assert token_recall("left left left", ["left left lung"]) == pytest.approx(2 / 3)
    assert token_f1("right", ["left", "right"]) == 1.0
    assert token_recall(None, ["left"]) == token_f1(None, ["left"]) == token_f1("left", []) == 0.0


def test_token_f1_agrees_with_the_squad_metric_of_torchmetrics() -> None:
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    for prediction, answer in [("left upper lobe mass", "mass in left lobe"), ("liver", "spleen"), ("x", "x")]:
        reference = squad(
            [{"prediction_text": prediction, "id": "1"}],
            [{"answers": {"answer_start": [0], "text": [answer]}, "id": "1"}],
        )
        assert token_f1(prediction, [answer]) == pytest.approx(float(reference["f1"]) / 100)


PAIRS = [
    ("left upper lobe mass", "mass in left lobe"),
    ("left left left", "left lung"),
    ("lung", "upper left lung"),
    ("the upper left lung of 2 patients", "lung"),
    ("liver", "spleen"),
    ("x ray", "x-ray"),
]


@pytest.mark.parametrize(("prediction", "answer"), PAIRS)
def test_bleu_1_agrees_with_sacrebleu_and_torchmetrics(prediction: str, answer: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    torchmetrics = pytest.importorskip("torchmetrics.functional.text")
    said, wanted = normalise_answer(prediction), normalise_answer(answer)
    reference = sacrebleu.BLEU(max_ngram_order=1, tokenize="none", smooth_method="none", effective_order=True)
    ours = bleu_1(prediction, [answer])
    assert ours == pytest.approx(reference.sentence_score(said, [wanted]).score / 100)
    assert ours == pytest.approx(float(torchmetrics.bleu_score([said], [[wanted]], n_gram=1)))


def test_bleu_1_of_several_answers_takes_the_nearest_length_and_the_most_frequent_word() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    reference = sacrebleu.BLEU(max_ngram_order=1, tokenize="none", smooth_method="none", effective_order=True)
    answers = ["left lung", "lung lung on left side"]
    for prediction in ("lung lung left", "left", "lung left lung left lung left"):
        expected = reference.sentence_score(prediction, answers).score / 100
        assert bleu_1(prediction, answers) == pytest.approx(expected)
    assert bleu_1(None, ["left"]) == bleu_1("", ["left"]) == bleu_1("left", []) == 0.0


def test_chinese_is_counted_by_characters_as_in_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    reference = sacrebleu.BLEU(max_ngram_order=1, tokenize="zh", smooth_method="none", effective_order=True)
    for prediction, answer in [("右肺", "左肺"), ("肺，心脏", "肺、心脏、脾"), ("T2加权", "T1加权")]:
        said, wanted = (normalise_answer(text) for text in (prediction, answer))
        assert bleu_1(prediction, [answer]) == pytest.approx(reference.sentence_score(said, [wanted]).score / 100)
    assert token_recall("右肺", ["左肺"]) == 0.5


@pytest.mark.parametrize(("prediction", "answer"), [pair for pair in PAIRS if pair[0] != "left left left"])
def test_token_recall_agrees_with_sklearn_where_no_word_is_repeated(prediction: str, answer: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    said, wanted = normalise_answer(prediction).split(), normalise_answer(answer).split()
    words = sorted({*said, *wanted})
    truth, guess = [[word in part for word in words] for part in (wanted, said)]
    assert token_recall(prediction, [answer]) == pytest.approx(metrics.recall_score(truth, guess))
    assert token_f1(prediction, [answer]) == pytest.approx(metrics.f1_score(truth, guess))
