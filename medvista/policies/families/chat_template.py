"""A model's chat template, wherever its authors put it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers.utils.hub import cached_file

_PLACES = ("chat_template.jinja", "chat_template.json", "processor_config.json", "preprocessor_config.json")


def find_chat_template(path: str | Path, tokenizer: Any, mark: str) -> str | None:
    """The first template that places an image: the tokenizer's own, else that of a processor's files.

    Many checkpoints keep the template of pictures with the processor (``chat_template.json``) and give the tokenizer
    none, or one for text alone.

    Args:
        path: hub id or folder of the model.
        tokenizer: loaded from there.
        mark: what the model's family writes where a picture goes.

    Returns:
        the template; one that places no image where there is no better; None where there is none at all.
    """
    found = [template for template in (_default(tokenizer.chat_template), *_of_processor(path)) if template]
    return next((one for one in found if _places_an_image(one, tokenizer, mark)), found[0] if found else None)


def _of_processor(path: str | Path) -> Iterator[str | None]:
    for name in _PLACES:
        file = cached_file(
            path,
            name,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if file is None:
            continue
        text = Path(file).read_text(encoding="utf-8")
        yield text if name.endswith(".jinja") else _default(json.loads(text).get("chat_template"))


def _default(template: Any) -> str | None:
    """The template itself, or the default one of several named ones."""
    if isinstance(template, list):
        template = {one["name"]: one["template"] for one in template}
    return template.get("default") if isinstance(template, dict) else template


def _places_an_image(template: str, tokenizer: Any, mark: str) -> bool:
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
    try:
        return mark in tokenizer.apply_chat_template(asked, tokenize=False, chat_template=template)
    except (TemplateError, TypeError, ValueError):
        return False
