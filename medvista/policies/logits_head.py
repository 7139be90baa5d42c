"""From hidden states to logits as each family does it: a matrix, and for some a scale or a soft cap behind it.

A configuration that names a cap does not mean that the class applies it: Gemma 3's text model does and its image-text
model does not. So where one is named, each form is held against the model's own logits once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medvista.notices import notice
from medvista.policies.evaluation_mode import evaluation_mode

_EXTRAS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: torch.tanh(logits / cap) * cap,
    "logit_scale": lambda logits, scale: logits * scale,
    "logits_scaling": lambda logits, scale: logits / scale,
}
PLAIN = ""  # the form of a head that is one matrix
_TOLERANCE = 1e-5  # of the largest logit


def apply_head(model: Any, form: str, hidden: Tensor) -> Tensor:
    """Logits ``[..., V]`` of hidden states ``[..., D]``.

    Args:
        model: in Hugging Face form, with a head.
        form: of that head, see `head_form`.
        hidden: what the body of the model gives.
    """
    logits = model.get_output_embeddings()(hidden)
    return logits if form == PLAIN else _EXTRAS[form](logits, getattr(model.config.get_text_config(), form))


def head_form(model: Any, forward: Callable[[Any], Any]) -> str | None:
    """What stands behind the matrix of the head: `PLAIN`, or the name of the setting that says how strong it is.

    Args:
        model: in Hugging Face form.
        forward: calls the model, or its body, on a few tokens of text.

    Returns:
        None where no known form gives the model's logits; they then have to come from the model itself.
    """
    text_config = model.config.get_text_config()
    named = [name for name in _EXTRAS if getattr(text_config, name, None)]
    if not named:
        return PLAIN
    with torch.no_grad():
        with evaluation_mode(model):  # dropout would make two calls differ
            hidden, logits = forward(model.model)[0], forward(model).logits
        # The least difference, not the first that is small: under tiny logits every cap looks like none.
        gaps = {form: (apply_head(model, form, hidden) - logits).abs().max().item() for form in (PLAIN, *named)}
    best = min(gaps, key=lambda form: gaps[form])
    if gaps[best] <= _TOLERANCE * logits.abs().max().item():
        return best
    what = "the head is of no known form, so the logits of all positions are computed at once, which takes more memory"
    notice(what, type(model).__name__)
    return None
