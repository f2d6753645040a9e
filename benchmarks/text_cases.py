"""How many cases of the table of normalisation are read as a good reader says them.

    python -m benchmarks.text_cases

Those that rules were tuned on, and those that were kept aside (``held-out`` in the table).
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.reporting import report
from csm.text import normalise

TABLE = Path(__file__).parent.parent / "tests" / "data" / "normalisation.tsv"


def main() -> None:
    """Count and report."""
    counts = {"tuned": [0, 0], "held-out": [0, 0]}
    kinds = set()
    for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]:
        kind, written, spoken, *rest = line.replace("\\n", "\n").split("\t")
        count = counts["held-out" if rest[1:] == ["held-out"] else "tuned"]
        count[0] += normalise(written) == spoken
        count[1] += 1
        kinds.add(kind)
    report(
        "text_cases",
        [
            {"cases": name, "right": right, "of": of, "%": 100 * right / of}
            for name, (right, of) in counts.items()
        ],
    )
    print(f"{len(kinds)} kinds")


if __name__ == "__main__":
    main()
