"""A policy whose weights are shared out over processes (FSDP2), and the whole of it where episodes are played.

Every forward pass of a sharded policy is a collective step, decoding included, and processes do not decode equally
often. So the weights are gathered once per phase of rollouts, into the policy as it was before it was sharded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from medvista.notices import notice
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import wait_for_all

_WHOLE = "unsharded"  # attribute of a sharded policy: the policy that it was made of


def shard(policy: VLMPolicy, mesh: DeviceMesh) -> VLMPolicy:
    """A copy of a policy to train, of which this process holds a part; a policy that is one already is returned.

    The weights are those of the mesh's first process. The policy itself holds none until they are gathered into it.
    Each layer is gathered when it computes, everything else once per forward pass. All processes have to take as many
    passes, each of them through the vision tower or none (`VLMPolicy.always_looks`).

    Args:
        policy: whole; what is frozen stays so.
        mesh: of one dimension, the processes that share the data.
    """
    if is_sharded(policy):
        return policy
    shared = {id(weights): nn.Parameter(weights.detach(), weights.requires_grad) for weights in policy.parameters()}
    sharded = copy.deepcopy(policy, {**shared, id(policy.tokenizer): policy.tokenizer})
    _agree_on_weights(sharded, mesh.device_type)
    for layer in _layers(sharded):
        fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    object.__setattr__(sharded, _WHOLE, policy)  # not as a part: its weights are not trained, and in no checkpoint
    _empty(policy)
    return sharded


def is_sharded(policy: nn.Module) -> bool:
    """Whether `shard` made it."""
    return hasattr(policy, _WHOLE)


@contextmanager
def gathered(policy: VLMPolicy, weights: Sequence[Tensor] | None = None) -> Iterator[VLMPolicy]:
    """A policy that computes without the other processes: the policy itself, unless it is sharded. A collective step.

    Args:
        policy: sharded or not.
        weights: this process's part of other weights (`own_weights`) to gather instead of the policy's.
    """
    if not is_sharded(policy):
        yield policy
        return
    wait_for_all()  # the processes have been busy unequally long; only here is it known how long one may wait
    whole: VLMPolicy = getattr(policy, _WHOLE)
    _fill(whole, policy, own_weights(policy) if weights is None else weights)
    whole.eval()
    try:
        yield whole
    finally:
        _empty(whole)


def whole(policy: VLMPolicy) -> VLMPolicy:
    """The policy that a sharded one was made of, with the weights of now, for good. A collective step."""
    if not is_sharded(policy):
        return policy
    made_of: VLMPolicy = getattr(policy, _WHOLE)
    _fill(made_of, policy, own_weights(policy))
    for part, of_sharded in zip(made_of.modules(), policy.modules(), strict=True):
        part.training = of_sharded.training
    return made_of


def own_weights(policy: VLMPolicy) -> list[Tensor]:
    """This process's part of the weights, in the order of `parameters`."""
    return [weights.detach() for weights in policy.parameters()]


def reshard(policy: nn.Module) -> None:
    """Gives back what a forward pass without a backward leaves gathered: what no layer holds, such as the embedding."""
    for part in policy.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def own_part(tensor: Tensor) -> Tensor:
    """The values of a tensor that may be sharded; if it is, this process's part of them."""
    values = tensor.detach()
    return values.to_local() if isinstance(values, DTensor) else values


def full(tensor: Tensor) -> Tensor:
    """All of a tensor that may be sharded; a collective step if it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(tensor: Tensor, model: Tensor) -> Tensor:
    """This process's part of a tensor that all have, if `model`, of the same shape, is sharded; else all of it."""
    if not isinstance(model, DTensor) or tensor.shape != model.shape:
        return tensor
    # None: each process takes its part of what it holds, and nothing is sent.
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def _layers(policy: VLMPolicy) -> list[nn.Module]:
    """The model's layers, as its class names what has to stay on one device."""
    model = policy.base_model
    found = [part for part in policy.modules() if type(part).__name__ in (model._no_split_modules or ())]
    if not found:
        notice("the model does not name its layers, so that all weights are gathered at once", type(model).__name__)
    return found


def _agree_on_weights(policy: VLMPolicy, device: str) -> None:
    """Takes the first process's: what is drawn when a policy is built may differ."""
    for tensor in (*policy.parameters(), *policy.buffers()):
        sent = tensor.detach().to(device)
        distributed.broadcast(sent, src=0)
        tensor.data.copy_(sent)


def _fill(whole: VLMPolicy, sharded: VLMPolicy, weights: Sequence[Tensor]) -> None:
    for into, part in zip(whole.parameters(), weights, strict=True):
        into.data = full(part)
    for module, of_sharded in zip(whole.modules(), sharded.modules(), strict=True):
        module._buffers.update(of_sharded._buffers)


def _empty(whole: VLMPolicy) -> None:
    for weights in whole.parameters():
        weights.data = weights.data.new_empty(0)
