#!/usr/bin/env bash
# Builds the virtual environment that `make env` promises: requirements/install.sh VENV [PYTHON]
# Every step can be repeated, so an interrupted run is resumed by running it again.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REQ=$ROOT/requirements
VENV=${1:?usage: requirements/install.sh VENV [PYTHON]}
WANTED=${2:-}
STEP="starting"
TOLD=""

say() { printf '[env] %s\n' "$*"; }
fail() {  # fail WHAT [REMEDY...]
  printf '[env] ERROR: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '[env]        %s\n' "$line" >&2; done
  TOLD=1
  exit 1
}
on_exit() {
  local code=$?
  if [ "$code" -ne 0 ] && [ -z "$TOLD" ]; then
    printf '[env] ERROR: this step failed: %s. The reason is printed above.\n' "$STEP" >&2
    printf '[env]        After fixing it, run make env again: it resumes where it stopped.\n' >&2
  fi
}
trap on_exit EXIT
step() { STEP=$1; say "$1"; }

# --- an interpreter ---------------------------------------------------------------------------------------------
# Prints "major.minor" of an interpreter that really runs; version-manager shims may exist without running.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
supported() { case $1 in 3.10 | 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac; }

choose_python() {
  local candidate version found=""
  if [ -n "$WANTED" ]; then
    version=$(version_of "$WANTED") || fail "PYTHON=$WANTED does not run." "Give a Python 3.10 to 3.13: make env PYTHON=/path/to/python3.11"
    supported "$version" || fail "PYTHON=$WANTED is Python $version; 3.10 to 3.13 are supported."
    PY=$WANTED
    return
  fi
  for candidate in python3.11 python3.12 python3.13 python3.10 python3 python; do  # 3.11 first: the one CI uses
    version=$(version_of "$candidate") || continue
    found="$found $candidate=$version"
    if supported "$version"; then PY=$candidate; return; fi
  done
  fail "no usable Python found; 3.10 to 3.13 are supported. Found:${found:- none}." \
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
    supported "$have" || fail "$VENV holds Python $have; 3.10 to 3.13 are supported." "Delete it (make clean-env)."
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

# --- the compiled attention op ------------------------------------------------------------------------------------
# The toolkit itself: torch would take a wrapper's folder (/usr/local/bin/nvcc -> /usr/local), where no libcudart is.
cuda_toolkit() {
  local nvcc
  if [ -n "${CUDA_HOME:-}" ]; then echo "$CUDA_HOME"; return; fi
  if [ -x /usr/local/cuda/bin/nvcc ]; then echo /usr/local/cuda; return; fi
  if nvcc=$(command -v nvcc); then dirname "$(dirname "$(readlink -f "$nvcc")")"; fi
}

build_op() {
  local kind built site
  CUDA_HOME=$(cuda_toolkit)
  if [ -n "$CUDA_HOME" ]; then export CUDA_HOME; else unset CUDA_HOME; fi
  # Whether CUDA kernels can be built *and* used here. A login node with nvcc but no GPU: FORCE_CUDA=1 make env.
  kind=$("$VENV/bin/python" - <<'PY'
import os
import torch

wanted = os.environ.get("FORCE_CUDA") == "1" or torch.cuda.is_available()
cuda = wanted and os.path.isfile(os.path.join(os.environ.get("CUDA_HOME", ""), "bin", "nvcc"))
print(f"{'cuda' if cuda else 'cpu'} torch-{torch.__version__}")
PY
  )
  # An extension belongs to the torch it was compiled against: rebuild it when torch, or CPU / CUDA, has changed.
  built=$(cat "$VENV/.msdeform-built" 2>/dev/null || true)
  if [ "$built" = "$kind" ]; then return; fi
  step "compiling the attention op for ${kind%% *} (about a minute on two cores)"
  rm -f "$VENV/.msdeform-built"
  site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  # uv would take a wheel of the same version out of its cache, whichever torch that was compiled against: --no-cache.
  if [ "${kind%% *}" = cuda ]; then
    # torch's own CUDA headers (cuSPARSE and others) are in its packages, not always in the toolkit.
    if ! FORCE_CUDA=1 CPATH="$(ls -d "$site"/nvidia/cu[0-9]*/include 2>/dev/null | head -n 1):${CPATH:-}" \
      pip install --no-cache --reinstall --no-deps --no-build-isolation --require-hashes -r "$REQ/msdeform.txt"; then
      say "WARNING: the CUDA build failed (above); building for the CPU instead. On a GPU, attention will then take the"
      say "         slower plain-PyTorch path. Usual cause: nvcc's major version differs from torch's. To try again:"
      say "         rm $VENV/.complete; make env"
      kind="cpu ${kind#* }"
      FORCE_CUDA=0 FORCE_CPU=1 \
        pip install --no-cache --reinstall --no-deps --no-build-isolation --require-hashes -r "$REQ/msdeform.txt"
    fi
  else
    FORCE_CPU=1 pip install --no-cache --reinstall --no-deps --no-build-isolation --require-hashes -r "$REQ/msdeform.txt"
  fi
  printf '%s\n' "$kind" >"$VENV/.msdeform-built"
}

# --- everything ---------------------------------------------------------------------------------------------------
pip() { "$VENV/bin/uv" pip "$1" --quiet --python "$VENV/bin/python" "${@:2}"; }
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}  # torch's CUDA packages are gigabytes
# Trust what the system trusts, as pip and apt do (behind a company's proxy, uv's built-in certificates are not enough).
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}; fi

make_venv
PY_VERSION=$(version_of "$VENV/bin/python")

step "installing uv"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$REQ/uv.txt"

step "installing torch and the other packages (the first time, about 3 GB to download)"
pip install -r "$REQ/base.txt"

step "installing detectron2"
SITE=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
if ! "$VENV/bin/python" -c "import importlib.metadata as m; assert m.version('sal-detectron2') == '0.7.2'; import detectron2" 2>/dev/null; then
  pip install --target "$SITE" --python-version 3.10 --only-binary :all: --no-deps --require-hashes -r "$REQ/detectron2.txt"
fi
# That wheel also brings a top-level package called `tools`, which would hide anybody else's.
if [ -f "$SITE/tools/lazyconfig_train_net.py" ]; then rm -rf "$SITE/tools"; fi

step "installing Mask2Former"
# Without a visible GPU its setup skips the extension, which would be built empty; build_op brings a better one.
CUDA_VISIBLE_DEVICES="" pip install --no-deps --no-build-isolation --require-hashes -r "$REQ/mask2former.txt"

build_op

step "installing imrsf_d2 (editable)"
pip install --no-deps --no-build-isolation -e "$ROOT"

step "checking"
"$VENV/bin/python" "$ROOT/tools/check_env.py"
say "ready: $VENV (Python $PY_VERSION)"
