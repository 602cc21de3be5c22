#!/usr/bin/env bash
# `make test-stock`: requirements/stock.sh UV PYTHON FOLDER builds detectron2 and clones Mask2Former as their repositories are, in a
# FOLDER of its own, and installs imrsf_d2's wheel beside them: what somebody has who used both before. Clones and packages that
# are there already stay.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REQ=$ROOT/requirements
UV=$(realpath "${1:?usage: requirements/stock.sh UV PYTHON FOLDER}")
PYTHON=$(realpath -s "${2:?usage: requirements/stock.sh UV PYTHON FOLDER}")
FOLDER=${3:?usage: requirements/stock.sh UV PYTHON FOLDER}
mkdir -p "$FOLDER"
FOLDER=$(realpath "$FOLDER")
VENV=$FOLDER/venv

for name in detectron2 Mask2Former; do
  [ -d "$FOLDER/$name" ] || git clone --quiet --depth 1 "https://github.com/facebookresearch/$name.git" "$FOLDER/$name"
done
[ -x "$VENV/bin/python" ] || "$UV" venv --quiet --seed --python "$PYTHON" "$VENV"
# detectron2 wants an older iopath than ours.
grep -v '^iopath' "$REQ/base.txt" >"$FOLDER/packages.txt"
"$UV" pip install --quiet --python "$VENV/bin/python" -r "$FOLDER/packages.txt"
if ! "$VENV/bin/python" -c 'import torch; from detectron2 import _C' 2>/dev/null; then
  "$VENV/bin/python" -m pip install --quiet --no-build-isolation -e "$FOLDER/detectron2"  # minutes: it compiles
fi
rm -rf "$FOLDER/wheels"
"$VENV/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation -w "$FOLDER/wheels" "$ROOT"
"$VENV/bin/python" -m pip install --quiet --force-reinstall --no-deps "$FOLDER"/wheels/imrsf_d2-*.whl
