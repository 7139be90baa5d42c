"""A language model as judge of open answers: cached on disk, its prompt in ``judge_prompt.txt`` beside this file.

Who is asked is handed in: any OpenAI-compatible endpoint (`ask_endpoint`), a local model (`ask_local_model`), a
function of your own, or nobody: then only verdicts kept on disk count, so that a table can be made again offline.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

from medvista.endpoint import ChatEndpoint, RequestRefusedError
from medvista.endpoint_cache import AnswerCache
from medvista.errors import UserError
from medvista.functional.opposites import opposed
from medvista.functional.text import exact_match
from medvista.metrics.measures import Measure
from medvista.notices import notice
from medvista.types import VQASample

log = logging.getLogger(__name__)

Ask: TypeAlias = Callable[[Sequence[str]], Sequence[str | None]]  # prompts -> replies, None where it was refused

PROMPT = Template(resources.files(__package__).joinpath("judge_prompt.txt").read_text(encoding="utf-8"))
_VERDICT = re.compile(r"\b(in)?correct\b", re.IGNORECASE)
_CHUNK = 64  # prompts asked at a time; what is asked is on disk before the next are
_LONGEST = 2_000  # characters of a prediction that are shown
_REPLY_TOKENS = 16


class Judge:
    """Calls open and closed answers right or wrong.

    An exact match is right without asking; no answer, and one `opposed` to every accepted answer, are wrong whatever a
    judge would say. An answer whose reply is no verdict is wrong too, and the log says how many there were.

    Args:
        name: of the judge, in the cache: another name, other verdicts.
        ask: gives the replies to prompts; None asks nobody.
        cache: the folder that keeps them, by the hash of the prompt.
    """

    def __init__(self, name: str, ask: Ask | None, cache: Path) -> None:
        self.name = name
        self.ask = ask
        self.cache = AnswerCache(cache)

    def measure(self) -> Measure:
        """The share of open and closed questions it calls right."""
        return Measure(
            name="judged",
            meaning=f"share of open and closed questions that {self.name} calls right",
            source="LLM as judge (arXiv 2306.05685); medvista/metrics/judge_prompt.txt",
            score=self.verdicts,
            kinds=frozenset({"open", "closed"}),
        )

    def verdicts(self, predictions: Sequence[str | None], samples: Sequence[VQASample]) -> list[float]:
        """1 for each answer called right, 0 for the others, ``[N]``.

        Raises:
            UserError: nobody is to be asked, and a verdict is not on disk; or all replies are empty.
        """
        known = [_without_asking(said, sample) for said, sample in zip(predictions, samples, strict=True)]
        asked = [index for index, verdict in enumerate(known) if verdict is None]
        opinions = self.opinions([str(predictions[i]) for i in asked], [samples[i] for i in asked])
        judged = dict(zip(asked, opinions, strict=True))
        if unclear := sum(verdict is None for verdict in judged.values()):
            log.warning("%s gave no verdict on %d of %d answers; they count as wrong", self.name, unclear, len(judged))
            for index in [index for index, verdict in judged.items() if verdict is None]:
                notice(f"answers on which the judge {self.name} gave no verdict count as wrong", samples[index].id)
        return [float(bool(judged[i] if verdict is None else verdict)) for i, verdict in enumerate(known)]

    def verdict(self, prediction: str | None, sample: VQASample) -> float:
        """See `verdicts`, of one answer."""
        (found,) = self.verdicts([prediction], [sample])
        return found

    def opinions(self, predictions: Sequence[str], samples: Sequence[VQASample]) -> list[bool | None]:
        """What it says of each answer itself, whatever is known without asking; None where that is no verdict.

        Raises:
            UserError: see `verdicts`.
        """
        prompts = [judge_prompt(said, sample) for said, sample in zip(predictions, samples, strict=True)]
        replies = self._replies(list(dict.fromkeys(prompts)))
        _refuse_silence(self.name, replies)
        return [read_verdict(replies[prompt]) for prompt in prompts]

    def _replies(self, prompts: Sequence[str]) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        for prompt in prompts:
            kept = self.cache.get(self._key(prompt))
            # Where somebody can be asked, a reply without a verdict (cut off, perhaps) is asked for again.
            if kept is not None and (self.ask is None or read_verdict(kept["reply"]) is not None):
                found[prompt] = kept["reply"]
        missing = [prompt for prompt in prompts if prompt not in found]
        if missing and self.ask is None:
            raise UserError(
                f"{len(missing)} of {len(prompts)} verdicts of {self.name} are not in {self.cache.folder}: "
                "give an endpoint or a local model to ask, or the folder in which they were kept"
            )
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            for prompt, reply in zip(chunk, self.ask(chunk) if self.ask else (), strict=True):
                found[prompt] = reply
                if reply is not None:  # what was refused may pass another day
                    self.cache.put(self._key(prompt), {"reply": reply})
        return found

    def _key(self, prompt: str) -> dict[str, str]:
        return {"judge": self.name, "prompt": prompt}


def _refuse_silence(judge: str, replies: Mapping[str, str | None]) -> None:
    said = [reply for reply in replies.values() if reply is not None]  # None: refused
    if said and not any(reply.strip() for reply in said):
        raise UserError(
            f"all {len(said)} replies of the judge {judge} were empty: one that reasons first needs room for it "
            "(judge.body.max_tokens=2000), and its answer outside of the field for reasoning"
        )


def judge_prompt(prediction: str, sample: VQASample) -> str:
    """The prompt of one answer; texts stand in it as JSON strings, so that none can end its line."""
    return PROMPT.substitute(
        question=json.dumps(sample.question, ensure_ascii=False),
        answers=json.dumps(list(sample.answers), ensure_ascii=False),
        prediction=json.dumps(prediction[:_LONGEST], ensure_ascii=False),
    )


def read_verdict(reply: str | None) -> bool | None:
    """The verdict of a reply, its last one; None when it has none.

    >>> read_verdict("Correct."), read_verdict("That is incorrect"), read_verdict("I cannot say")
    (True, False, None)
    """
    found = list(_VERDICT.finditer(reply or ""))
    return not found[-1][1] if found else None


def ask_endpoint(endpoint: ChatEndpoint) -> Ask:
    """Asks an OpenAI-compatible endpoint, greedily, as many at once as its configuration says."""

    def ask(prompt: str) -> str | None:
        try:
            return endpoint.complete([{"role": "user", "content": prompt}], max_tokens=_REPLY_TOKENS).text
        except RequestRefusedError:
            return None

    return lambda prompts: endpoint.map(ask, prompts)


def ask_local_model(folder: str | Path, device: str = "cpu") -> Ask:
    """Asks a chat model on this machine, greedily, through transformers; nothing leaves the machine.

    Args:
        folder: of the model, or its hub id.
        device: where it runs.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # loads for seconds; only a local judge needs it

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).eval().to(device)

    def ask(prompt: str) -> str:
        conversation = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(device)
        made = model.generate(**inputs, max_new_tokens=_REPLY_TOKENS, do_sample=False)
        return str(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    return lambda prompts: [ask(prompt) for prompt in prompts]


def _without_asking(prediction: str | None, sample: VQASample) -> bool | None:
    """The verdict that needs no judge; None when one is to be asked."""
    if prediction is None or not prediction.strip():
        return False
    if exact_match(prediction, sample.answers, sample.choices):
        return True
    return False if all(opposed(prediction, answer) for answer in sample.answers) else None
