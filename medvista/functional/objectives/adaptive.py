"""Coefficients that follow what they act on, from one update to the next."""

from __future__ import annotations


def adapted_kl_coefficient(coefficient: float, kl: float, target: float) -> float:
    """The next weight of a KL: up by at most 2% where the KL is above its target, down by as much below it.

    Proportional control of the logarithm (Ziegler et al., arXiv 1909.08593, section 2.2, with its gain of 0.1).

    Args:
        coefficient: of the update just done.
        kl: measured in it, per token, in nats.
        target: where the KL should be.

    >>> adapted_kl_coefficient(0.1, kl=0.5, target=0.25), adapted_kl_coefficient(0.1, kl=0.25, target=0.25)
    (0.10200000000000001, 0.1)
    """
    error = min(0.2, max(-0.2, kl / target - 1))
    return coefficient * (1 + 0.1 * error)


def adapted_entropy_coefficient(coefficient: float, entropy: float, target: float, step: float = 0.005) -> float:
    """The next weight of an entropy bonus: a step up while the entropy is below its target, else a step down.

    Adaptive entropy control (Skywork Open Reasoner 1, arXiv 2505.22312), which pays the bonus only below the target.

    Args:
        coefficient: of the update just done.
        entropy: measured in it, per token, in nats.
        target: that the entropy should not fall below.
        step: the paper's.

    >>> adapted_entropy_coefficient(0.0, entropy=0.1, target=0.2), adapted_entropy_coefficient(0.0, 0.3, 0.2)
    (0.005, 0.0)
    """
    return max(0.0, coefficient + (step if entropy < target else -step))
