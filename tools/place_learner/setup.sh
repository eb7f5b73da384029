#!/usr/bin/env bash
# Makes the learner's environment: a venv with a CPU torch and what the runtimes' Python imports, and beside it packages that
# are imported and never executed. About 3 GB, once per machine, in $LEARN_HOME (default: $ORACLE_HOME, then
# ~/.cache/ckptfix-oracle, which the oracle of ../shared uses too).
#   setup.sh RUNTIME VERSION    also unpack the Python files of a release, and the release of transformers that it pins
set -eu
here=$(cd "$(dirname "$0")" && pwd)
H=${LEARN_HOME:-${ORACLE_HOME:-$HOME/.cache/ckptfix-oracle}}
P="$H/venv/bin/python"
mkdir -p "$H/learn" "$H/wheels"
[ -x "$P" ] || { python3 -m venv "$H/venv"; "$P" -m pip install -q torch==2.13.0; }
"$P" -c 'import xgrammar' 2>/dev/null || "$P" -m pip install -q --no-deps -r "$here/../../requirements/learn.txt"
[ -d "$H/learn/overlay/timm" ] || "$P" -m pip install -q --no-deps --target "$H/learn/overlay" torchvision==0.28.0 timm==1.0.31
[ -d "$H/learn/triton/triton" ] || "$P" -m pip install -q --no-deps --target "$H/learn/triton" triton==3.9.0
[ $# -ge 2 ] || exit 0
root="$H/releases/$1-$2"
if [ ! -d "$root/$1" ]; then
  "$P" -m pip download -q --no-deps --only-binary=:all: "$1==$2" -d "$H/wheels"
  mkdir -p "$H/releases"
  (cd "$H/wheels" && sha256sum "$1-$2"-*.whl) > "$root.sha256"
  "$P" - "$H/wheels" "$root" "$1-$2-" <<'PYTHON'
import sys, zipfile
from pathlib import Path
wheels, root, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
[wheel] = wheels.glob(f"{name}*.whl")
with zipfile.ZipFile(wheel) as archive:
    kept = [n for n in archive.namelist() if n.endswith((".py", ".json")) or "dist-info" in n]
    archive.extractall(root, kept)
    for member in archive.namelist():  # SGLang before 0.5.10 looks for folders that have no Python files
        (root / member).parent.mkdir(parents=True, exist_ok=True)
wheel.unlink()
PYTHON
fi
pin=$(sed -n 's/^Requires-Dist: transformers==\([0-9.a-z]*\).*/\1/p' "$root/$1-$2.dist-info/METADATA" | head -1)
# A runtime that takes none of transformers 5 gets the last one before it, as `pinned_transformers` says.
[ -n "$pin" ] || ! grep -qE '^Requires-Dist: transformers[^ ;]*<5(\.0)*([,; ]|$)' "$root/$1-$2.dist-info/METADATA" || pin=4.57.6
if [ -n "$pin" ] && [ ! -d "$H/transformers/$pin" ]; then
  # transformers before 5.16 wants older tokenizers, huggingface_hub and httpx than the venv has, before 5 an older hub still.
  case "$pin" in 4.*) hub=0.36.0 ;; *) hub=1.33.0 ;; esac
  "$P" -m pip install -q --no-deps --target "$H/transformers/$pin" "transformers==$pin"
  "$P" - "$pin" <<'PYTHON' || "$P" -m pip install -q --no-deps --target "$H/transformers/$pin" \
    tokenizers==0.22.2 "huggingface_hub==$hub" httpx==0.28.1 httpcore==1.0.9
import sys
sys.exit(tuple(map(int, sys.argv[1].split(".")[:2])) < (5, 16))
PYTHON
fi
