"""How many quotes the rules give to the right speaker, on pages that are labelled by hand.

python -m benchmarks.attribution            # by page, and in all
python -m benchmarks.attribution --wrong    # what was given to another
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from csm.text.dialogue import quotes, speaker_key
from csm.text.normalise import spoken_blocks

PAGES = Path(__file__).parent.parent / "tests" / "data" / "dialogue"

#: Other names of the same people in these pages.
ALSO = {
    "fred": {"scrooge's nephew", "nephew"},
    "scrooge": {"uncle"},
    "marley": {"ghost"},
    "dorothy": {"girl"},
    "missus bennet": {"his lady", "his wife"},
    "silver": {"long john", "landlord"},
    "holmes": {"sherlock holmes"},
    "rat": {"water rat"},
    "anne": {"child"},
    "wendy": {"wendy moira angela", "wendy moira"},
    "wilson": {"mister jabez wilson", "mister wilson"},
}


def page(path: Path) -> tuple[list[str], list[str]]:
    """A page's paragraphs as they are read, and the label of each quote."""
    text = path.read_text(encoding="utf-8")
    labels = re.findall(r'\{([^}]*)\}"', text)
    return [block.text.text for block in spoken_blocks(re.sub(r"\{[^}]*\}", "", text))], labels


def outcome(found: str, label: str) -> str:
    """``right``, ``wrong`` or ``unsure``."""
    if not found:
        return "unsure"
    given, wanted = speaker_key(found), speaker_key(label)
    return "right" if given == wanted or given in ALSO.get(wanted, ()) else "wrong"


def counts(path: Path, *, told: bool = False) -> dict[str, int]:
    """Quotes of a page by outcome."""
    paragraphs, labels = page(path)
    found = quotes(paragraphs)
    assert len(found) == len(labels), (path, len(found), len(labels))
    total = {"right": 0, "wrong": 0, "unsure": 0}
    for quote, label in zip(found, labels, strict=True):
        what = outcome(quote.speaker, label)
        total[what] += 1
        if told and what != "right":
            said = paragraphs[quote.block][quote.start : quote.end][:60]
            print(f"  {what}: {said} is {label}'s, not {quote.speaker or '?'}'s")
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrong", action="store_true")
    told = parser.parse_args().wrong
    for folder in (PAGES, PAGES / "held_out"):
        total = {"right": 0, "wrong": 0, "unsure": 0}
        for path in sorted(folder.glob("*.txt")):
            found = counts(path, told=told)
            print(path.stem, found)
            total = {name: total[name] + found[name] for name in total}
        attributed = total["right"] + total["wrong"]
        print(
            f"{folder.name}: {sum(total.values())} quotes, "
            f"{total['unsure'] / sum(total.values()):.0%} unsure, "
            f"of the others {total['right'] / max(1, attributed):.1%} right\n"
        )


if __name__ == "__main__":
    main()
