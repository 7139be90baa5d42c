"""The special tokens of every family, and what its chat template writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from medvista.parsing import TAGS

CORPUS = "What is it? Is the solid region left of the scan? Zoom of image 0. Window 30. Error in call. yes no {}[]:,.\n"


@dataclass(frozen=True, kw_only=True)
class Words:
    """The tokens of a family, and how its template writes a conversation."""

    specials: Sequence[str]
    template: str
    eos: str
    bos: str | None = None
    named: dict[str, str] | None = None  # tokens that the family's processor asks the tokenizer for


def tokenizer(words: Words) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens with a family's special ones."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340 + len(words.specials),
        special_tokens=["<|pad|>", *words.specials],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator([CORPUS] * 8, trainer)
    bpe.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=words.eos,
        bos_token=words.bos,
        pad_token="<|pad|>",
        chat_template=words.template,
        extra_special_tokens=words.named or {},
        clean_up_tokenization_spaces=False,
    )


# -------------------------------------------------------------------------------------- what families' templates write

_PARTS = "{%% for part in m.content %%}{%% if part.type == 'image' %%}%s{%% else %%}%s{%% endif %%}{%% endfor %%}"


def _chatml(image: str, default_system: str = "") -> str:
    """ChatML, as Qwen-VL, InternVL and LLaVA-OneVision write it."""
    system = "{% if messages[0].role != 'system' %}" + default_system + "{% endif %}" if default_system else ""
    parts = _PARTS % (image, "{{ part.text }}")
    turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n" + parts + "<|im_end|>\n{% endfor %}"
    return system + turns + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


QWEN = Words(
    specials=(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
    template=_chatml(
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
    ),
    eos="<|im_end|>",
)
INTERNVL = Words(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    template=_chatml("<IMG_CONTEXT>\n"),
    eos="<|im_end|>",
    named={
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
)
GEMMA = Words(
    specials=(
        "<eos>",
        "<bos>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_of_image>",
        "<image_soft_token>",
        "<end_of_image>",
    ),
    template="{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n"
    + _PARTS % ("<start_of_image>", "{{ part.text | trim }}")
    + "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    eos="<eos>",
    bos="<bos>",
    named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
)
SMOLVLM = Words(
    specials=(
        "<|endoftext|>",
        "<|im_start|>",
        "<end_of_utterance>",
        "<fake_token_around_image>",
        "<global-img>",
        "<image>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    ),
    template="<|im_start|>{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    + _PARTS % ("<image>", "{{ part.text }}")
    + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}",
    eos="<end_of_utterance>",
)
LLAVA = Words(
    specials=("<s>", "</s>", "<image>"),
    template="{% for m in messages %}{{ m.role.upper() }}: "
    + _PARTS % ("<image>\n", "{{ part.text }} ")
    + "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    eos="</s>",
    bos="<s>",
    named={"image_token": "<image>"},
)
ONEVISION = Words(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"),
    template="{% for m in messages %}<|im_start|>{{ m.role }} "
    "{% for part in m.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in m.content if part.type == 'text' %}{{ '\n' + part.text }}{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    eos="<|im_end|>",
    named={"image_token": "<image>", "video_token": "<video>"},
)
MISTRAL = Words(
    specials=(
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
        "[IMG]",
        "[IMG_BREAK]",
        "[IMG_END]",
    ),
    template="{{ bos_token }}{% if messages[0].role != 'system' %}[SYSTEM_PROMPT]Today is "
    "{{ strftime_now('%Y-%m-%d') }}.[/SYSTEM_PROMPT]{% endif %}{% for m in messages %}"
    "{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content[0].text }}[/SYSTEM_PROMPT]"
    "{% elif m.role == 'user' %}[INST]" + _PARTS % ("[IMG]", "{{ part.text }}") + "[/INST]"
    "{% else %}" + _PARTS % ("", "{{ part.text }}") + "{{ eos_token }}{% endif %}{% endfor %}",
    eos="</s>",
    bos="<s>",
)
GLM = Words(
    specials=(
        "<|endoftext|>",
        "[gMASK]",
        "<sop>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
        "<|video|>",
    ),
    template="[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n"
    + _PARTS % ("<|begin_of_image|><|image|><|end_of_image|>", "{{ part.text }}")
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    eos="<|endoftext|>",
)
