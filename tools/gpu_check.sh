#!/usr/bin/env bash
# One command for a machine with an NVIDIA GPU: the CUDA tests, what runs natively there, and how
# fast it loads. Prints the tables for docs/verify.md and docs/benchmarks.md.
#
#     tools/gpu_check.sh [GIGABYTES]
#
# PYTHON names an interpreter with torch built for CUDA, numpy, pytest, hypothesis, jsonschema and
# safetensors beside ckptfix's own requirements; python3 without it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}"

"$python" tools/gpu_table.py --device-line

# Every step runs, so that one call on a lent machine tells all that is wrong.
status=0
"$python" -m pytest tests/verifying -p no:cacheprovider -q -k "gpu or stream or read_ahead or command" || status=1
"$python" tools/gpu_table.py || status=1
"$python" benchmarks/verify.py --device cuda --gigabytes "${1:-8}" || status=1
exit $status
