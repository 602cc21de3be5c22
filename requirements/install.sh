#!/usr/bin/env bash
# Builds the virtual environment that `make env` promises: requirements/install.sh VENV [PYTHON [PACKAGES]]
# PACKAGES is base.txt unless given. FORCE_CUDA=1 insists on CUDA kernels of the attention op, whether a card is visible or not.
# Every step can be repeated, so an interrupted run is resumed by running it again.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REQ=$ROOT/requirements
VENV=${1:?usage: requirements/install.sh VENV [PYTHON [PACKAGES]]}
WANTED=${2:-}
PACKAGES=${3:-$REQ/base.txt}
. "$REQ/common.sh"
. "$REQ/attention_op.sh"

# --- an interpreter ---------------------------------------------------------------------------------------------
# Prints "major.minor" of an interpreter that really runs; version-manager shims may exist without running.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
SUPPORTED="3.11 to 3.14"
supported() { case $1 in 3.1[1-4]) return 0 ;; *) return 1 ;; esac; }

choose_python() {
  local candidate version found=""
  if [ -n "$WANTED" ]; then
    version=$(version_of "$WANTED") || fail "PYTHON=$WANTED does not run." "Give a Python $SUPPORTED: make env PYTHON=/path/to/python3.11"
    supported "$version" || fail "PYTHON=$WANTED is Python $version; $SUPPORTED are supported."
    PY=$WANTED
    return
  fi
  for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do  # 3.11 first: the one CI uses
    version=$(version_of "$candidate") || continue
    found="$found $candidate=$version"
    if supported "$version"; then PY=$candidate; return; fi
  done
  fail "no usable Python found; $SUPPORTED are supported. Found:${found:- none}." \
    "Debian: apt-get install python3 python3-venv python3-dev; or name one: make env PYTHON=/path/to/python3.11"
}

check_tools() {
  local version include
  version=$(version_of "$PY")
  "$PY" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$PY (Python $version) cannot make virtual environments." "Debian: apt-get install python3-venv (or python$version-venv)"
  include=$("$PY" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
  [ -f "$include/Python.h" ] ||
    fail "Python.h of $PY is missing (looked in $include); compiling the attention op needs it." \
      "Debian: apt-get install python3-dev (or python$version-dev)"
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
    fail "no C++ compiler found (tried ${CXX:-c++} and g++)." "Debian: apt-get install g++"
}

make_venv() {
  local have
  if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    have=$(version_of "$VENV/bin/python")
    if [ -n "$WANTED" ] && [ "$have" != "$(version_of "$WANTED")" ]; then
      fail "$VENV holds Python $have, but PYTHON=$WANTED was asked for." "Delete $VENV first (make clean-env), or give another VENV."
    fi
    supported "$have" || fail "$VENV holds Python $have; $SUPPORTED are supported." "Delete it (make clean-env)."
    PY=$VENV/bin/python
    check_tools
    return
  fi
  if [ -e "$VENV" ] && [ ! -f "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV")" ]; then
    fail "$VENV exists and is not a virtual environment; it is left alone." "Give another place: make env VENV=path"
  fi
  choose_python
  check_tools
  step "creating $VENV with $PY (Python $(version_of "$PY"))"
  "$PY" -m venv --clear "$VENV"
}

# --- everything ---------------------------------------------------------------------------------------------------
make_venv
PY_VERSION=$(version_of "$VENV/bin/python")

step "installing uv"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$REQ/uv.txt"

step "installing torch and the other packages (the first time, about 3 GB to download)"
pip install -r "$PACKAGES"

step "installing detectron2"
SITE=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
if ! "$VENV/bin/python" -c "import importlib.metadata as m; assert m.version('sal-detectron2') == '0.7.2'; import detectron2" 2>/dev/null; then
  pip install --target "$SITE" --python-version 3.10 --only-binary :all: --no-deps --require-hashes -r "$REQ/detectron2.txt"
fi
# That wheel also brings a top-level package called `tools`, which would hide anybody else's.
if [ -f "$SITE/tools/lazyconfig_train_net.py" ]; then rm -rf "$SITE/tools"; fi

step "installing Mask2Former"
# Without CUDA its setup skips the extension, which would be built empty; build_op brings a better one.
FORCE_CUDA="" CUDA_VISIBLE_DEVICES="" pip install --no-deps --no-build-isolation --require-hashes -r "$REQ/mask2former.txt"
# Python warns of escapes in its docstrings whenever it compiles them: here, once and unheard.
"$VENV/bin/python" -W ignore -m compileall -q "$SITE/mask2former"

build_op

step "installing imrsf_d2 (editable)"
pip install --no-deps --no-build-isolation -e "$ROOT"

step "checking"
"$VENV/bin/python" "$ROOT/tools/check_env.py"
say "ready: $VENV (Python $PY_VERSION)"
