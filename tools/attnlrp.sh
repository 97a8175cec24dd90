#!/usr/bin/env bash
# Is `rule='attnlrp'` what lxt, by that paper's authors, computes? lxt 2.1 cannot be imported beside today's transformers: in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

python3 -m venv "$tmp/venv"
. "$tmp/venv/bin/activate"
pip install 'transformers==4.52.4' .
pip install --no-deps 'lxt==2.1'
python -W ignore tools/attnlrp.py
