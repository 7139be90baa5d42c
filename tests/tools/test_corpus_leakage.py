"""A corpus is searched for the answers that are evaluated; knowledge alone is no leak."""

from __future__ import annotations

import logging

import pytest

from medvista.tools.retrieval import Passage, check_corpus, read_corpus
from medvista.tools.retrieval.corpus_leakage import warn_of_leakage
from medvista.types import VQASample


def sample(name, question, *answers):
    return VQASample(id=name, benchmark="b", split="test", question=question, answers=answers, images=(), group_id=name)


ORGAN = sample("organ", "Which organ is enlarged in this picture?", "Liver")
SIDE = sample("side", "Is the mass in the left or the right lung?", "right", "right lung")
CLOSED = sample("closed", "Is there a pleural effusion?", "Yes")


def verdict(text, *samples, title=""):
    check = check_corpus([Passage(source="x", text=text, title=title)], samples or (ORGAN, SIDE, CLOSED))
    return check.verbatim, check.near


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Q: Which organ is enlarged in this picture? A: liver.", (("organ",), ())),
        ("WHICH ORGAN IS ENLARGED IN THIS PICTURE -- Liver", (("organ",), ())),
        ("Is there a pleural effusion? No, not at all.", ((), ())),
        ("Is there a pleural effusion? yes", (("closed",), ())),
        ("Is the mass in the left or the right lung? It is on the right.", (("side",), ())),
        ("Is the mass in the left or the right lung?", ((), ())),
        ("A mass of the left lung beside the right hilum", ((), ())),
        ("The liver is an organ of the abdomen.", ((), ())),
        ("", ((), ())),
    ],
)
def test_a_pair_is_found_where_question_and_answer_stand_together(text, found):
    assert verdict(text) == found


def test_a_paraphrase_needs_most_of_the_words_and_the_answer():
    question = sample("q", "Which treatment helps patients with acute tension pneumothorax?", "needle decompression")
    assert verdict("Acute tension pneumothorax: treatment that helps patients: needle decompression.", question) == (
        (),
        ("q",),
    )
    assert verdict("Acute tension pneumothorax: treatment that helps patients: rest.", question) == ((), ())
    assert verdict("Pneumothorax: needle decompression.", question) == ((), ())


def test_a_question_in_a_title_counts():
    assert verdict("Liver", title="Which organ is enlarged in this picture?") == (("organ",), ())


def test_shares_are_of_the_questions_checked(caplog):
    corpus = [Passage(source="x", text="Which organ is enlarged in this picture? Liver")]
    check = check_corpus(corpus, [ORGAN, SIDE, CLOSED, sample("other", "How many kidneys?", "2")])
    assert check.share == 0.25
    with caplog.at_level(logging.WARNING):
        warn_of_leakage(check)
        warn_of_leakage(check_corpus(corpus, [SIDE]))
    (message,) = caplog.messages
    assert message.startswith("1 of 4 evaluated questions stand word for word beside their answer in the corpus")
    assert "organ" in message
    assert check_corpus(corpus, []).share == 0.0


@pytest.mark.data
def test_slakes_graph_holds_no_evaluated_pair_word_for_word(data_root):
    from medvista.data.slake import read_slake

    corpus = read_corpus(data_root / "slake" / "Slake1.0" / "KG")
    check = check_corpus(corpus, read_slake(data_root, "test"))
    assert check.samples == 1061
    assert check.verbatim == ()
