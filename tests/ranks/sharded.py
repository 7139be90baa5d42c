"""Holds a sharded policy against a whole one, in one of two processes: ``sharded.py FOLDER WORLD``."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from medvista.policies import VLMPolicy
from medvista.policies.frozen_weights import FrozenWeights, differing
from medvista.policies.sharding import full, gathered, shard, whole
from medvista.ranks import rank
from medvista.rollout import ExperienceBatch


def rows_of(batch: ExperienceBatch, process: int, placeholder: int) -> ExperienceBatch:
    """Of the second process, no row has an image: its vision tower has nothing to do."""
    rows = batch.select([0, 1] if process == 0 else [2])
    if process == 1:
        rows.token_ids[rows.token_ids == placeholder] = 7
        rows.images = ((),) * len(rows)
    return rows


def loss(policy: VLMPolicy, rows: ExperienceBatch) -> Tensor:
    """Of a part of the rows."""
    log_probs, entropy = rows.log_probs(policy, entropy="gradient")
    return -(log_probs + 0.1 * entropy)[rows.loss_mask].sum()


def main(folder: Path) -> None:
    """Asserts what a sharded policy has in common with a whole one."""
    policy = VLMPolicy.from_pretrained(folder / "policy")
    policy.model.model.language_model.layers[0].mlp.requires_grad_(False)
    before = copy.deepcopy(policy)
    batch = torch.load(folder / "recorded.pt", weights_only=False)
    shares = [rows_of(batch, process, policy.image_token_id) for process in (0, 1)]
    rows = shares[rank()]
    sharded = shard(policy, init_device_mesh("cpu", (2,)))
    sharded.always_looks = True  # or the second process would wait for the first one's vision tower
    assert shard(sharded, init_device_mesh("cpu", (2,))) is sharded
    assert sum(p.numel() for p in policy.parameters()) == 0  # held once, in parts
    assert sharded.model.get_output_embeddings().weight is sharded.model.get_input_embeddings().weight

    loss(sharded, rows).backward()
    for share in shares:
        (loss(before, share) / 2).backward()  # gradients are averaged over processes
    for (name, ours), theirs in zip(sharded.named_parameters(), before.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None and theirs.grad is not None:
            assert torch.allclose(full(ours.grad), theirs.grad, rtol=1e-5, atol=1e-6), name
    norm = torch.nn.utils.clip_grad_norm_(sharded.parameters(), 1e9)
    expected = torch.nn.utils.clip_grad_norm_(before.parameters(), 1e9)
    assert torch.allclose(full(norm), expected, rtol=1e-5)

    frozen, kept = FrozenWeights(sharded), copy.deepcopy(before)
    torch.optim.SGD(sharded.parameters(), lr=1e-3).step()
    torch.optim.SGD(before.parameters(), lr=1e-3).step()
    with torch.no_grad():
        with gathered(sharded) as alone:
            for _ in range(1 + 2 * rank()):  # unequally often, as episodes have it
                assert torch.allclose(loss(alone, rows), loss(before, rows), rtol=1e-5)
        with frozen.policy(sharded) as reference:
            assert torch.equal(loss(reference, rows), loss(kept, rows))
    assert not torch.allclose(loss(before, rows), loss(kept, rows), rtol=1e-3)  # or nothing was compared
    trained = {name: weights for name, weights in kept.named_parameters() if weights.requires_grad}
    state = frozen.state_dict(sharded)
    assert state.keys() == trained.keys()
    assert all(torch.equal(weights, trained[name]) for name, weights in state.items())
    assert not differing(frozen.summary(sharded), FrozenWeights(kept).summary(kept))
    frozen.load_state_dict(before.state_dict(), sharded)
    assert differing(frozen.summary(sharded), FrozenWeights(kept).summary(kept))
    with torch.no_grad(), frozen.policy(sharded) as reference:
        assert torch.equal(loss(reference, rows), loss(before, rows))

    assert whole(sharded) is policy
    if rank() == 0:  # as runs save: the others write nothing
        policy.save_pretrained(folder / "trained")
        policy = VLMPolicy.from_pretrained(folder / "trained")
    for name, weights in before.state_dict().items():
        assert torch.allclose(policy.state_dict()[name], weights, rtol=1e-5, atol=1e-7), name


if __name__ == "__main__":
    os.environ.setdefault("RANK", os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo")
    main(Path(sys.argv[1]))
    distributed.destroy_process_group()
