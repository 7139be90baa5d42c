"""Observations -> tokens: the one rendering that demonstrations, rollouts and training share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from medvista.errors import UserError
from medvista.outside_text import break_signs
from medvista.parsing import TAGS
from medvista.policies.families import Image
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import Observation, TokenSegment

_TEXT = "\u2402TEXT\u2402"  # stands for the observation's text while a chat template is read
_REPLY = "\u2402REPLY\u2402"  # stands for the model's turn


class ChatRenderer:
    """Renders the first observation as a prompt and each later one as what follows the model's turn.

    The model's own turns are never rendered: their sampled ids are kept as they are, so the stream only grows and
    nothing is tokenised twice. Text that comes from outside can create no special token and no tag of the grammar.

    Args:
        policy: whose tokenizer, chat template and image processor are used.
        tools: what the prompt says about the tools (`Toolbox.describe`); empty for none.
    """

    def __init__(self, policy: VLMPolicy, tools: str = "") -> None:
        if policy.tokenizer.chat_template is None:
            raise UserError(
                "the model has no chat template, in its tokenizer, chat_template.json or processor_config.json; "
                "put the one it was trained with into its folder as chat_template.jinja."
            )
        self.policy = policy
        self.tools = tools
        self._tokenizer = policy.tokenizer
        self._start = _start_ids(policy.tokenizer)
        # Some vocabularies add runs of white space: they command nothing, and a space put into them makes another run.
        added = {token for token in policy.tokenizer.get_added_vocab() if len(token) > 1 and not token.isspace()}
        signs = sorted(added | set(TAGS), key=len, reverse=True)
        self._signs = re.compile("|".join(re.escape(sign) for sign in signs))
        self._template = lru_cache(maxsize=64)(self._render_template)

    def prompt(self, observations: Sequence[Observation]) -> list[TokenSegment]:
        """The prompts of episodes that begin with these observations."""
        return self._segments(observations, ["prompt"] * len(observations))

    def delta(
        self, observations: Sequence[Observation], closed: Sequence[bool], ends: Sequence[int] = ()
    ) -> list[TokenSegment]:
        """What follows a model turn: its end (unless sampled), the observation, the head of the next turn.

        Args:
            observations: one per episode.
            closed: True where the model sampled its end-of-turn token, so that it is not written twice.
            ends: the last token of each turn, where a turn may end in several ways; the template's own by default.
        """
        ends = ends or [self.policy.turn_ends.written] * len(closed)
        forms = [f"delta after {end}" if shut else "open_delta" for shut, end in zip(closed, ends, strict=True)]
        return self._segments(observations, forms)

    def _segments(self, observations: Sequence[Observation], forms: Sequence[str]) -> list[TokenSegment]:
        images = self.policy.family.see([image.pixels for observation in observations for image in observation.images])
        texts, parts = [], []
        for observation, form in zip(observations, forms, strict=True):
            own = [images.pop(0) for _ in observation.images]
            text = self._template(form, len(own)).replace(_TEXT, self._harmless(observation.text))
            texts.append(self._expand(text, own))
            parts.append(tuple(own))
        ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        ids = [self._begun(row) if form == "prompt" else row for row, form in zip(ids, forms, strict=True)]
        return [TokenSegment(token_ids=tuple(i), images=own) for i, own in zip(ids, parts, strict=True)]

    def _begun(self, ids: list[int]) -> list[int]:
        """A prompt behind the token that begins a text, where the chat template leaves that to the tokenizer."""
        return ids if ids[: len(self._start)] == self._start else [*self._start, *ids]

    def _expand(self, text: str, images: Sequence[Image]) -> str:
        """Puts each image's placeholders where the template marked its place."""
        if not images:
            return text
        pieces = text.split(self.policy.family.mark)
        if len(pieces) != len(images) + 1:
            raise ValueError(f"the chat template placed {len(pieces) - 1} images, the observation has {len(images)}")
        shown = [self.policy.family.placeholders(image) for image in images]
        return pieces[0] + "".join(image + rest for image, rest in zip(shown, pieces[1:], strict=True))

    def _harmless(self, text: str) -> str:
        """Breaks every added token of the vocabulary and every tag of the grammar that occurs in the text."""
        return break_signs(text, self._signs)

    def _render_template(self, form: str, n_images: int) -> str:
        """A piece of the chat template with a sign where the observation's text goes."""
        content: list[dict[str, Any]] = [{"type": "image"}] * n_images
        content = [*content, {"type": "text", "text": _TEXT}]
        if form == "prompt":
            return self._apply(self.policy.family.first_messages(content, self.tools))
        opening = [
            {"role": "user", "content": [{"type": "text", "text": "?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": _REPLY}]},
        ]
        _, _, rest = self._apply([*opening, {"role": "user", "content": content}]).partition(_REPLY)
        return rest if form == "open_delta" else self._without_end(rest, int(form.removeprefix("delta after ")))

    def _without_end(self, rest: str, sampled: int) -> str:
        """What the template writes behind a turn, without the end that was sampled in its place."""
        for end in dict.fromkeys((sampled, self.policy.turn_ends.written)):
            token = self._tokenizer.convert_ids_to_tokens(end) if end >= 0 else ""
            # Some templates break the line before the token, which the model, sampling it, did not.
            if token and rest.lstrip().startswith(token):
                return rest.lstrip().removeprefix(token)
        return rest

    def _apply(self, messages: list[dict[str, Any]]) -> str:
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _start_ids(tokenizer: Any) -> list[int]:
    """The token that the tokenizer puts before every text, if it does so."""
    ids = tokenizer("")["input_ids"]
    return [tokenizer.bos_token_id] if ids and ids[0] == tokenizer.bos_token_id else []
