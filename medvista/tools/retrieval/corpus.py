"""Files to passages: text, JSON lines, and SLAKE's knowledge graph."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medvista.errors import UserError

_TEXT = (".txt", ".md")
_GRAPH = re.compile(r"en_(?:disease|organ|organ_rel)\.csv")  # SLAKE's files in English; the others are Chinese
_FIELDS = ("text", "contents", "content", "passage", "answer")  # of a JSON line, the first that is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a corpus, as long as an observation can quote it."""

    source: str  # file and place, to cite: "en_disease.csv:17", "notes/liver.md#3"
    text: str
    title: str = ""

    def __str__(self) -> str:
        """The text, after its title where it does not begin with it."""
        untitled = not self.title or self.text.startswith(self.title)
        return self.text if untitled else f"{self.title}. {self.text}"


def read_corpus(path: Path, passage_words: int = 120) -> list[Passage]:
    """The passages of a file, or of every file below a folder, in the order of their names.

    Text files are cut at empty lines, and paragraphs longer than `passage_words` at sentences. A JSON line is an
    object with ``text`` (or ``contents``, ``content``, ``passage``) and perhaps ``title``; one with ``question`` and
    ``answer`` is read as both. SLAKE's ``en_*.csv`` hold one fact per line, ``subject#relation#value``; all facts of a
    subject make one passage, since a question about it seldom names the relation as the graph does. Other files are
    left out.

    Args:
        path: the file or folder.
        passage_words: words of a passage, about.

    Raises:
        UserError: there is no such path, a line is malformed, or nothing was found.
    """
    path = path.expanduser()
    if not path.exists():
        raise UserError(f"there is no corpus {path}; give a folder or file of .txt, .md, .jsonl, or SLAKE's KG")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    root = path.parent if path.is_file() else path
    graph = [file for file in files if _GRAPH.fullmatch(file.name)]
    passages = [passage for file in files for passage in _read_file(file, root, passage_words)]
    passages += _read_graph(graph, root)
    if not passages:
        raise UserError(f"the corpus {path} holds no passage; it is read from .txt, .md, .jsonl and SLAKE's KG")
    return passages


def _read_file(file: Path, root: Path, passage_words: int) -> Iterator[Passage]:
    name = file.relative_to(root).as_posix()
    if file.suffix.lower() in _TEXT:
        yield from _cut(_decoded(file), name, passage_words)
    elif file.suffix.lower() == ".jsonl":
        yield from _read_lines(file, name, passage_words)


def _decoded(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}); convert it, or leave it out of the corpus") from None


def _read_graph(files: Sequence[Path], root: Path) -> list[Passage]:
    facts: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    for file in files:
        for number, (subject, relation, value) in _facts(file):
            facts.setdefault(subject, []).append(f"{relation}: {value}".rstrip("."))
            sources.setdefault(subject, f"{file.relative_to(root).as_posix()}:{number}")
    return [
        Passage(source=sources[subject], title=subject, text=f"{subject}. {'; '.join(known)}.")
        for subject, known in facts.items()
    ]


def _facts(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Subject, relation and value of each line after the first, which names the columns."""
    for number, line in enumerate(_decoded(file).splitlines(), start=1):
        if number == 1 or not line.strip():
            continue
        fact = [part.strip() for part in line.split("#", 2)]
        if len(fact) != 3:
            raise UserError(f"{file}, line {number}: a fact is subject#relation#value; place the official file again")
        yield number, fact


def _read_lines(file: Path, name: str, passage_words: int) -> Iterator[Passage]:
    for number, line in enumerate(_decoded(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{file}, line {number} is not JSON ({error}); mend or remove it") from None
        texts = [row[field] for field in _FIELDS if isinstance(row.get(field), str)] if isinstance(row, dict) else []
        if not texts:
            raise UserError(f'{file}, line {number} has no text; give each line an object with "text"')
        title = row.get("title") or row.get("question")
        title = title if isinstance(title, str) else ""
        yield from _cut(texts[0], f"{name}:{number}", passage_words, title=title)


def _cut(text: str, source: str, passage_words: int, title: str = "") -> Iterator[Passage]:
    """Passages of about `passage_words`, cut at sentences; short paragraphs stay whole and apart."""
    number = 0
    for paragraph in re.split(r"\n\s*\n", text):
        words = 0
        piece: list[str] = []
        for sentence in _sentences(" ".join(paragraph.split()), passage_words):
            if piece and words + len(sentence.split()) > passage_words:
                number += 1
                yield Passage(source=f"{source}#{number}", title=title, text=" ".join(piece))
                piece, words = [], 0
            piece.append(sentence)
            words += len(sentence.split())
        if piece:
            number += 1
            yield Passage(source=f"{source}#{number}", title=title, text=" ".join(piece))


def _sentences(paragraph: str, longest: int) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.!?])\s+", paragraph):
        words = sentence.split()
        for start in range(0, len(words), longest):  # a table or a list may have no full stop for pages
            yield " ".join(words[start : start + longest])
