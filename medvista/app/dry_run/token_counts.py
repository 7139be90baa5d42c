"""How long episodes may become: the prompt, the images and every turn's budget."""

from __future__ import annotations

from dataclasses import dataclass

from medvista.app.config.schema import ExperimentConfig

_CHARACTERS_PER_TOKEN = 3.5  # of English and JSON, in vocabularies of 150,000 and more: an estimate
_QUESTION_TOKENS = 150  # the question, its options and what the template writes: an estimate
_OBSERVATION_TOKENS = 60  # the text of a result, and the template around it: an estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTokens:
    """The longest episode that the configuration allows."""

    prompt: int
    image: int  # of one image, at ``env.view_size``
    observation: int  # one result with one image
    turns: int
    new: int  # of one turn, at most

    @property
    def whole(self) -> int:
        """All tokens of an episode that uses every turn to the end."""
        return self.prompt + self.turns * self.new + (self.turns - 1) * self.observation


def episode_tokens(config: ExperimentConfig, tools_text: str, image_tokens: int) -> EpisodeTokens:
    """Tokens of the longest episode.

    Args:
        config: of the run.
        tools_text: what the prompt says about the tools.
        image_tokens: of one square image at ``env.view_size``.
    """
    prompt = round(len(tools_text) / _CHARACTERS_PER_TOKEN) + _QUESTION_TOKENS + image_tokens
    return EpisodeTokens(
        prompt=prompt,
        image=image_tokens,
        observation=_OBSERVATION_TOKENS + image_tokens,
        turns=config.env.max_turns,
        new=config.max_new_tokens,
    )
