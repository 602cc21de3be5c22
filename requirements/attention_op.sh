# How the attention op is compiled: build_op for install.sh, compile_op for cuda_op.sh too. To be sourced after common.sh.

# Where no card is in sight, nobody says what to compile for: the cards of most clusters (A100, H100), and code that later
# ones compile for themselves. torch takes an empty list of visible cards for an IndexError.
DEFAULT_ARCHITECTURES="8.0;9.0+PTX"

cuda_asked_for() { case ${FORCE_CUDA:-} in "" | 0) return 1 ;; *) return 0 ;; esac; }

# The toolkit itself: torch would take a wrapper's folder (/usr/local/bin/nvcc -> /usr/local), where no libcudart is.
cuda_toolkit() {
  local nvcc
  if [ -n "${CUDA_HOME:-}" ]; then echo "$CUDA_HOME"; return; fi
  if [ -x /usr/local/cuda/bin/nvcc ]; then echo /usr/local/cuda; return; fi
  if nvcc=$(command -v nvcc); then dirname "$(dirname "$(readlink -f "$nvcc")")"; fi
}

# Sets TORCH_VERSION, TORCH_CUDA ("none" where torch is built without), CARD ("True" where torch sees one), CUDA_HOME.
look_at_cuda() {
  local facts
  facts=$("$VENV/bin/python" -c 'import torch; print(torch.__version__, torch.version.cuda or "none", torch.cuda.is_available())')
  read -r TORCH_VERSION TORCH_CUDA CARD <<<"$facts"
  CUDA_HOME=$(cuda_toolkit)
  if [ -n "$CUDA_HOME" ]; then export CUDA_HOME; else unset CUDA_HOME; fi
}

have_nvcc() { [ -x "${CUDA_HOME:-}/bin/nvcc" ]; }

require_cuda() {  # require_cuda WHO
  local looked="CUDA_HOME (not set), /usr/local/cuda/bin and PATH"
  [ "$TORCH_CUDA" != none ] ||
    fail "$1 needs a torch that is built for CUDA; $VENV has torch $TORCH_VERSION, which is not."
  if [ -n "${CUDA_HOME:-}" ]; then looked=$CUDA_HOME/bin; fi
  have_nvcc ||
    fail "$1 needs CUDA's compiler nvcc, and there is none (looked in $looked)." \
      "Load a CUDA toolkit ${TORCH_CUDA%%.*} (torch $TORCH_VERSION is built for CUDA $TORCH_CUDA), or say where one is:" \
      "CUDA_HOME=/path/to/cuda. Without FORCE_CUDA the op is built for the CPU."
}

# Sets KIND to "cuda ARCHITECTURES torch-VERSION" or "cpu torch-VERSION": what build_op is to build here.
choose_kind() {
  if cuda_asked_for; then
    require_cuda "FORCE_CUDA=$FORCE_CUDA"
  elif [ "$CARD" != True ] || [ "$TORCH_CUDA" = none ] || ! have_nvcc; then
    KIND="cpu torch-$TORCH_VERSION"
    return
  fi
  if [ "$CARD" != True ]; then export TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-$DEFAULT_ARCHITECTURES}; fi
  KIND="cuda ${TORCH_CUDA_ARCH_LIST:-visible-cards} torch-$TORCH_VERSION"
}

compile_op() {  # compile_op cuda|cpu [pip's arguments]
  local site
  if [ "$1" = cpu ]; then
    FORCE_CUDA=0 FORCE_CPU=1 pip install --no-cache --reinstall --no-deps --no-build-isolation --require-hashes \
      "${@:2}" -r "$REQ/msdeform.txt"
    return
  fi
  site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  # uv would take a wheel of the same version out of its cache, whichever torch that was compiled against: --no-cache.
  # torch's own CUDA headers (cuSPARSE and others) are in its packages, not always in the toolkit.
  FORCE_CUDA=1 FORCE_CPU=0 CPATH="$(ls -d "$site"/nvidia/cu[0-9]*/include 2>/dev/null | head -n 1):${CPATH:-}" \
    pip install --no-cache --reinstall --no-deps --no-build-isolation --require-hashes "${@:2}" -r "$REQ/msdeform.txt"
}

build_op() {
  local nvcc built
  look_at_cuda
  choose_kind
  # An extension belongs to the torch it was compiled against: rebuild it when torch, or what it is for, has changed. A
  # CUDA build holds the CPU's op too, and stays when the environment is updated where there is no card, or no nvcc.
  built=$(cat "$VENV/.msdeform-built" 2>/dev/null || true)
  case $built in
    "$KIND") return ;;
    "cuda "*" torch-$TORCH_VERSION") cuda_asked_for || [ -n "${TORCH_CUDA_ARCH_LIST:-}" ] || return 0 ;;
  esac
  step "compiling the attention op for ${KIND% *} (about a minute on two cores; with CUDA, a few)"
  rm -f "$VENV/.msdeform-built"
  if ! compile_op "${KIND%% *}"; then
    [ "${KIND%% *}" = cuda ] || return 1
    nvcc=$("$CUDA_HOME/bin/nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    if cuda_asked_for; then
      fail "FORCE_CUDA=$FORCE_CUDA was given, and the CUDA build failed: the reason is printed above." \
        "nvcc of $CUDA_HOME is $nvcc, torch $TORCH_VERSION is built for CUDA $TORCH_CUDA (the major versions must agree);" \
        "compiled for TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-<the visible cards>}. Without FORCE_CUDA, it is built for the CPU."
    fi
    say "WARNING: the CUDA build failed (above); building for the CPU instead. On a GPU, attention will then take the"
    say "         slower plain-PyTorch path. nvcc of $CUDA_HOME is $nvcc, torch is built for CUDA $TORCH_CUDA: the major"
    say "         versions must agree. To try again: rm $VENV/.complete; make env"
    KIND="cpu torch-$TORCH_VERSION"
    compile_op cpu
  fi
  printf '%s\n' "$KIND" >"$VENV/.msdeform-built"
}
