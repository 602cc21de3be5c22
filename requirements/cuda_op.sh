#!/usr/bin/env bash
# `make cuda-op`: requirements/cuda_op.sh VENV FOLDER compiles the attention op as `FORCE_CUDA=1 make env` does where there is
# nvcc and no card, into a FOLDER of its own; sees that the kernels are there, and that the op still works on the CPU.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REQ=$ROOT/requirements
VENV=${1:?usage: requirements/cuda_op.sh VENV FOLDER}
FOLDER=${2:?usage: requirements/cuda_op.sh VENV FOLDER}
. "$REQ/common.sh"
. "$REQ/attention_op.sh"

export CUDA_VISIBLE_DEVICES="" FORCE_CUDA=1
unset TORCH_CUDA_ARCH_LIST
look_at_cuda
choose_kind
step "compiling the attention op for ${KIND% *}, nvcc of $CUDA_HOME"
rm -rf "$FOLDER"
compile_op cuda --target "$FOLDER"
step "looking for its kernels"
"$VENV/bin/python" "$REQ/cuda_kernels.py" "$FOLDER"/torch_ms_deform_attn/_C*.so ms_deformable_im2col "$TORCH_CUDA_ARCH_LIST"
step "using it on the CPU"
PYTHONPATH=$FOLDER:$ROOT "$VENV/bin/python" - "$FOLDER" <<'PY'
import sys
from pathlib import Path

import torch_ms_deform_attn

from imrsf_d2.compat import msdeform

from imrsf_d2.compat import upstream

assert Path(torch_ms_deform_attn.__file__).is_relative_to(Path(sys.argv[1]).resolve()), torch_ms_deform_attn.__file__
assert upstream.verify_op("cpu") == msdeform.CPU_OP
PY
say "the attention op compiles for CUDA here, and works on the CPU"
