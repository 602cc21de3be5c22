#!/usr/bin/env bash
# Adds the tools for lint, types, documentation and the tests of pages to the environment: requirements/dev.sh VENV
set -euo pipefail

REQ=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${1:?usage: requirements/dev.sh VENV}
. "$REQ/common.sh"

step "installing the tools for lint, types, documentation and pages"
# base.txt as constraints: what the environment holds stays as it is, or this step fails.
pip install -r "$REQ/dev.txt" -c "$REQ/base.txt"
