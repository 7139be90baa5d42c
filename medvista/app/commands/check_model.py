"""Whether a model can be trained and played: ``python -m experiments.check_model PATH [--view-size N] [key=value]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from medvista.errors import UserError

_DESCRIPTION = """\
Loads a vision-language model, plays an episode with two tools, and tells in a table what stands in the way: whether
engine and trainer give the same log-probabilities, whether every picture is seen by both, what is never sampled, what
ends a turn, how many tokens a picture takes. Its quick form runs at the start of every training and evaluation. The
model is loaded as a run with the same settings would load it: in its type, quantised, with adapters.

examples:
  python -m experiments.check_model Qwen/Qwen3-VL-2B-Instruct
  python -m experiments.check_model runs/mine/checkpoints/sft/policy --view-size 672
  python -m experiments.check_model Qwen/Qwen3-VL-8B-Instruct policy.dtype=bfloat16 trainer.precision=bf16-mixed
  python -m experiments.check_model Qwen/Qwen3-VL-8B-Instruct experiment=medvista_r1_8b_lora
"""
_VIEW_SIZE = 448


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 1 where a check failed, 2 after a user's mistake."""
    asked = _parser().parse_intermixed_args(argv)
    # Imported here, since torch takes seconds that --help should not cost.
    from medvista.app.config.command_line import load_config
    from medvista.app.loading import loading
    from medvista.app.model_check import check_model
    from medvista.app.model_check.finding import to_text
    from medvista.policies import VLMPolicy

    try:
        config = load_config(asked.settings)
        sized = any(setting.startswith(("experiment=", "env.view_size=")) for setting in asked.settings)
        view_size = asked.view_size or (config.env.view_size if sized else _VIEW_SIZE)
        policy = VLMPolicy.from_pretrained(asked.path, loading(config))
        findings = check_model(policy, view_size=view_size, precision=config.trainer.precision)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(to_text(findings))
    return 1 if any(finding.verdict == "FAIL" for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.check_model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", help="hub id or folder of a vision-language model")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="of an experiment: how the model is loaded")
    parser.add_argument(
        "--view-size", type=int, help=f"pixels of the longer side of pictures, as env.view_size ({_VIEW_SIZE})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
