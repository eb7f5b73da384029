"""The baseline: huggingface_hub's parser reads every header of a checkpoint, and nothing else.

python benchmarks/parse_headers.py DIR
"""

import sys

from huggingface_hub import get_local_safetensors_metadata

if __name__ == "__main__":
    print(f"{len(get_local_safetensors_metadata(sys.argv[1]).weight_map):,} tensors")
