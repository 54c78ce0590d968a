"""`import dpstruct` is light: heavy and optional libraries load on first use."""

import json
import subprocess
import sys

HEAVY = [
    "numba", "sklearn", "scipy", "mpmath", "safetensors", "tqdm", "matplotlib", "torch", "hypothesis", "pyarrow",
    "narwhals", "finufft",
]  # fmt: skip
PROBE = "import json, sys, dpstruct; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def test_import_loads_nothing_heavy(tmp_path):
    command = [sys.executable, "-W", "error", "-c", PROBE]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    loaded = set(json.loads(result.stdout))
    assert "dpstruct" in loaded
    assert sorted(loaded & set(HEAVY)) == []
