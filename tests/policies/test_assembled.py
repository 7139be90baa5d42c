"""A vision-language model out of a language model and a new vision tower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from medvista.errors import UserError
from medvista.policies import ChatRenderer, VLMPolicy, assemble
from medvista.policies.nano import train_tokenizer
from medvista.settings import NanoConfig
from medvista.types import MedicalImage, Observation

TOWER = NanoConfig(view_size=32, vision_hidden_size=32, vision_depth=1, vision_heads=2, vision_intermediate_size=64)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = train_tokenizer(["What is it? A nodule in the left lung."] * 20, 400)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_language_model_is_taken_as_it_is(language_model: Path) -> None:
    policy = assemble(language_model, TOWER)
    alone = AutoModelForCausalLM.from_pretrained(language_model).eval()
    ids = torch.tensor([policy.tokenizer("What is it? A nodule.")["input_ids"]])

    with torch.no_grad():
        both = policy.model.eval()(input_ids=ids).logits[..., : alone.config.vocab_size]
        assert torch.allclose(both, alone(input_ids=ids).logits, atol=1e-6)


def test_it_is_saved_and_loaded_as_one_model_whose_every_image_is_as_many_tokens_as_the_tower_sees(
    language_model: Path, tmp_path: Path
) -> None:
    assemble(language_model, TOWER).save_pretrained(tmp_path)
    policy = VLMPolicy.from_pretrained(tmp_path)
    image = MedicalImage(pixels=np.zeros((40, 40), dtype=np.uint8))

    segment = ChatRenderer(policy).prompt([Observation(text="What is it?", images=(image,))])[0]

    assert segment.token_ids.count(policy.image_token_id) == 4  # patches of 16 pixels on 32 x 32
    features = policy.family.features(policy.body, policy.family.collate(segment.images))
    assert features.shape == (4, 32)
    assert not policy.allowed_ids[policy.image_token_id]


def test_its_tower_is_another_with_another_seed_and_the_same_with_the_same(language_model: Path) -> None:
    first, again, other = (assemble(language_model, TOWER, seed=seed).vision_tower for seed in (0, 0, 1))
    of_first, of_again, of_other = (torch.cat([p.flatten() for p in t.parameters()]) for t in (first, again, other))

    assert torch.equal(of_first, of_again)
    assert not torch.equal(of_first, of_other)


def test_a_model_that_speaks_no_chatml_or_is_not_there_is_one_sentence(language_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"policy\.language_model=.* cannot be loaded"):
        assemble(tmp_path / "nothing", TOWER)
    with pytest.raises(UserError, match=r"policy\.language_model=.* cannot be loaded"):
        assemble(tmp_path / "nothing.gguf", TOWER)
