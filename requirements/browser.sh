#!/usr/bin/env bash
# `make browser`: requirements/browser.sh VENV sees to a Chromium for the tests of pages: the machine's own, else Debian's package,
# else playwright's download.
set -euo pipefail

VENV=${1:?usage: requirements/browser.sh VENV}
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/common.sh"

for program in chromium chromium-browser google-chrome; do
  if command -v "$program" >/dev/null; then
    say "Chromium is there: $(command -v "$program")"
    exit 0
  fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  step "installing Chromium (apt-get install chromium, about 115 MB)"
  if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; then
    exit 0
  fi
  say "apt-get has none; trying playwright's"
fi
step "installing Chromium (playwright install chromium, about 170 MB)"
"$VENV/bin/python" -m playwright install chromium
