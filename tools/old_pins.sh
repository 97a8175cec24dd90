#!/usr/bin/env bash
# tsai, the library of time series on fastai, pins older versions than ours: are its models explained there, too? In a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

python3 -m venv "$tmp/venv"
. "$tmp/venv/bin/activate"
pip install 'tsai==1.0.1' 'fastai==2.8.7' 'fastcore==1.14.5' 'pyts==0.13.0' 'scikit-learn<1.8' .
python -W ignore tools/old_pins.py
