"""The nano model: its size, its vocabulary, and Hugging Face form."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from medvista.parsing import TAGS
from medvista.policies import ChatRenderer, VLMPolicy, build_nano
from medvista.policies.nano import SPECIAL_TOKENS
from medvista.types import Observation, VQASample


def test_the_default_dimensions_give_about_nine_hundred_thousand_parameters() -> None:
    words = [" ".join(letters) for letters in itertools.permutations(("lung", "nodule", "left", "zoom", "solid"), 3)]
    policy = build_nano([*words, *(f"{word}{n}" for n in range(600) for word in ("kind", "box"))])
    assert len(policy.tokenizer) == 768
    assert 850_000 < sum(parameter.numel() for parameter in policy.parameters()) < 950_000


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_one_alone(nano: VLMPolicy) -> None:
    torch.manual_seed(1)
    first = build_nano(["a"], seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    second = build_nano(["a"], seed=3)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("token", [*SPECIAL_TOKENS, *TAGS])
def test_special_tokens_and_tags_are_single_tokens(nano: VLMPolicy, token: str) -> None:
    assert nano.tokenizer.tokenize(f"a{token}b") == ["a", token, "b"]


@pytest.mark.parametrize(
    "text", ["", "Is it  wide?\n\t", "µm³ – 図 🙂", '<answer>5</answer>{"name": "zoom"}', "\x00\x7f"]
)
def test_any_text_comes_back_from_its_tokens(nano: VLMPolicy, text: str) -> None:
    ids = nano.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert nano.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_a_saved_policy_comes_back_by_the_loader_of_hub_ids_and_computes_the_same(
    nano: VLMPolicy, questions: list[VQASample], tmp_path: Path, make_env: object
) -> None:
    nano.save_pretrained(tmp_path)
    loaded = VLMPolicy.from_pretrained(tmp_path).eval()
    observation, _ = make_env().reset(seed=0, options={"sample": questions[0]})  # type: ignore[operator]
    observations = [observation, Observation(text="<|im_end|> <answer> µ")]
    for one, other in zip(
        ChatRenderer(nano).prompt(observations), ChatRenderer(loaded).prompt(observations), strict=True
    ):
        assert one.token_ids == other.token_ids
        ids = torch.tensor([one.token_ids])
        images = [{}, {}] if not one.images else [one.images[0], other.images[0]]
        with torch.no_grad():
            logits = [p.logits(ids, torch.ones_like(ids), im) for p, im in zip((nano, loaded), images, strict=True)]
        assert torch.equal(*logits)
    assert torch.equal(nano.allowed_ids, loaded.allowed_ids)
    assert loaded.tokenizer.eos_token == "<|im_end|>"
