"""What may be sampled, what ends a turn, and how the turn grammar's tags stand in a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medvista.app.model_check.finding import Finding
from medvista.parsing import TAGS
from medvista.policies import ChatRenderer, VLMPolicy
from medvista.types import Observation

_SHOWN = 6  # tokens that a line names


def vocabulary_findings(policy: VLMPolicy, tools: str) -> Iterator[Finding]:
    """What a person should know of the tokens that a policy writes, and whether it can write the turn grammar."""
    yield _banned(policy)
    yield _ends(policy)
    yield from _tags(policy)
    yield _head(policy, tools)


def _banned(policy: VLMPolicy) -> Finding:
    known = len(policy.tokenizer)
    banned = [i for i in (~policy.allowed_ids).nonzero().flatten().tolist() if i < known]
    tail = len(policy.allowed_ids) - known
    names = policy.tokenizer.convert_ids_to_tokens(banned)
    said = f"{len(banned)} ids ({_some(names)})" + (f" and the {tail} rows that no token has" if tail > 0 else "")
    return Finding(check="never sampled", verdict="pass", said=said)


def _ends(policy: VLMPolicy) -> Finding:
    ends = policy.turn_ends
    names = [str(policy.tokenizer.convert_ids_to_tokens(i)) for i in ends.ids]
    written = policy.tokenizer.convert_ids_to_tokens(ends.written)
    if not policy.allowed_ids[list(ends.ids)].all():
        said = f"a turn ends with {_some(names)}, not all of which may be sampled: turns would end at their budget only"
        return Finding(check="ends of turn", verdict="FAIL", said=said)
    return Finding(check="ends of turn", verdict="pass", said=f"{_some(names)}; demonstrations end with {written}")


def _tags(policy: VLMPolicy) -> Iterator[Finding]:
    """Whether the policy can write the tags, and whether others would drop them."""
    ids = {tag: policy.tokenizer(tag, add_special_tokens=False)["input_ids"] for tag in TAGS}
    mute = [tag for tag, own in ids.items() if not policy.allowed_ids[own].all()]
    special = [tag for tag, own in ids.items() if set(own) & set(policy.tokenizer.all_special_ids)]
    said = f"{_some([tag for tag, own in ids.items() if len(own) == 1]) or 'none'} as single tokens"
    if mute:
        said = f"{_some(mute)} may not be sampled, so no turn can follow the grammar; take them off the special tokens"
        yield Finding(check="tags", verdict="FAIL", said=said)
    elif special:
        said += f"; {_some(special)} are special tokens, which engines that skip those leave out of the text"
        yield Finding(check="tags", verdict="note", said=said)
    else:
        yield Finding(check="tags", verdict="pass", said=said)


def _head(policy: VLMPolicy, tools: str) -> Finding:
    """What stands before the model's turn: some templates open a thought."""
    (prompt,) = ChatRenderer(policy, tools).prompt([Observation(text="?")])
    text = policy.tokenizer.decode(prompt.token_ids)
    last = repr(text[-40:])
    if text.rstrip().endswith("<think>"):
        said = f"the prompt ends with {last}: the template opens a thought, which demonstrations open once more"
        return Finding(check="prompt", verdict="note", said=said)
    return Finding(check="prompt", verdict="pass", said=f"{len(prompt.token_ids)} tokens without pictures, ends {last}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
