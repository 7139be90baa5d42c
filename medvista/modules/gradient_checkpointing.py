"""Gradient checkpointing (arXiv 1604.06174) that applies, and dropout that does not."""

from __future__ import annotations

from typing import Any

from medvista.errors import UserError
from medvista.policies.vlm_policy import VLMPolicy


def training_modes(policy: VLMPolicy, *, checkpointing: bool, adapter_dropout: bool = False) -> None:
    """Puts a policy into the modes it is trained in.

    A loaded model is in evaluation mode, in which transformers' layers do not checkpoint. In training mode all of it
    would drop out what its configuration says, and the log-probabilities of an update would differ from those of the
    rollouts for no other reason. So the layers alone are in training mode, and nothing inside of them.

    Whoever plays rollouts sets evaluation mode and restores these modes.

    Args:
        policy: about to be trained.
        checkpointing: whether layers compute their activations again in backward.
        adapter_dropout: whether adapters drop out what their configuration says.

    Raises:
        UserError: the model cannot.
    """
    policy.eval().training = True
    if checkpointing:
        _enable(policy.model)
    for name, part in policy.model.named_modules():
        checkpoints = bool(getattr(part, "gradient_checkpointing", False))
        part.training = checkpoints or (adapter_dropout and "lora_dropout" in name)


def _enable(model: Any) -> None:
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise UserError(
            f"{type(model).__name__} has no gradient checkpointing: set trainer.gradient_checkpointing=false, "
            "and a smaller trainer.micro_batch_tokens if it does not fit."
        )
    # Its name in transformers 6, where the older one is gone.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
