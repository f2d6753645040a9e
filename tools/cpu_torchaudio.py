"""Make torchaudio importable beside a CPU-only torch.

The registry's torchaudio wheel carries native libraries that link against CUDA. Beside a CPU build
of torch they cannot load, and the failed load takes transformers' audio models down with it.
torchaudio's Python half (resampling, loudness, filters, features) needs none of them, and
torchaudio itself skips the native half when the files are not there. So, on a CPU-only torch and
only there, this removes the files from the environment it runs in. Run it after installing.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Remove the native files if they cannot work here; exit 1 if torchaudio still fails."""
    import torch

    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        print("torchaudio is not installed", file=sys.stderr)
        return 1
    if torch.version.cuda is None and torch.version.hip is None:
        for library in (Path(spec.origin).parent / "lib").glob("*.so"):
            library.unlink()
            print(f"removed {library.name}: it needs CUDA and this torch is a CPU build")
    # A fresh interpreter, as a half-failed import may not be tried twice in one process.
    return subprocess.run([sys.executable, "-c", "import torchaudio.functional"]).returncode


if __name__ == "__main__":
    sys.exit(main())
