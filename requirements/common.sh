# What the scripts of this folder share; to be sourced. They set VENV before they call pip.
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
    printf '[env]        After fixing it, run the same command again: it resumes where it stopped.\n' >&2
  fi
}
trap on_exit EXIT
step() { STEP=$1; say "$1"; }

# pip >= 24 refuses the metadata of maskformer2, so packages are installed by uv.
pip() { "$VENV/bin/uv" pip "$1" --quiet --python "$VENV/bin/python" "${@:2}"; }
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}  # torch's CUDA packages are gigabytes
# Trust what the system trusts, as pip and apt do (behind a company's proxy, uv's built-in certificates are not enough).
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}; fi
