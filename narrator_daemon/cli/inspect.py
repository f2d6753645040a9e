"""What files say of themselves, in all layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from narrator_daemon.cli.common import CANNOT, ConfigOption, load_settings, tell
from narrator_daemon.cli.watermarks import (
    AMBIGUOUS,
    OriginalOption,
    ThoroughOption,
    keys_or_public,
)
from narrator_daemon.errors import Unreadable
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.marks.provenance import Inspection

app = typer.Typer()

#: Exit status by verdict; of several files the first that is here, unless one is unreadable.
_STATUSES = {"contradict": AMBIGUOUS, "altered": AMBIGUOUS, "stripped": 4, "nothing": 1, "agree": 0}


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    thorough: ThoroughOption = False,
    original: OriginalOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Say what files say of themselves: credentials, label, both marks, and all together.

    Exit 0: they agree; 1: one says nothing; 2: one is unreadable; 3: one contradicts itself or was
    changed after it was signed; 4: one was stripped of its credentials. Of several the first of
    2, 3, 4, 1, 0.
    """
    from narrator_daemon.commands.inspect import Inspector
    from narrator_daemon.credentials.reading import trust_of
    from narrator_daemon.marks.originals import Originals

    settings = load_settings(config_file)
    inspector = Inspector(
        settings,
        keys_or_public(settings),
        trust_of(settings.credentials),
        thorough=thorough,
        originals=Originals(settings, original),
    )
    inspections: list[Inspection] = []
    unreadable: list[tuple[Path, str]] = []
    for file in files:
        try:
            inspections.append(inspector.inspect(file))
        except Unreadable as error:
            # The others are looked at all the same.
            tell(str(error))
            unreadable.append((file, str(error)))
    if as_json:
        records = [each.as_record() for each in inspections]
        records += [{"file": str(file), "verdict": None, "error": why} for file, why in unreadable]
        print(json.dumps(records))
    else:
        for each in inspections:
            _print(each)
    if unreadable:
        raise typer.Exit(CANNOT)
    verdicts = {each.verdict.value for each in inspections}
    raise typer.Exit(next(status for verdict, status in _STATUSES.items() if verdict in verdicts))


def _print(inspection: Inspection) -> None:
    console = Console()
    layers, credentials = inspection.layers, inspection.layers.credentials
    lines = [("", reason) for reason in inspection.reasons]
    if credentials is not None:
        told = ", ".join(f"{name} {value}" for name, value in credentials.facts.items())
        when = (
            f"{credentials.signed_at} by a time stamp authority"
            if credentials.signed_at
            else f"{credentials.made_at or 'not told'}, by its own word"
        )
        lines += [("credentials say", told or "nothing of a narration"), ("made", when)]
    if layers.label is not None:
        lines.append(("label AIGC", json.dumps(layers.label, ensure_ascii=False)))
    if layers.public.found:
        sure = f"chance of error at most {layers.public.false_positive_probability:.0e}"
        lines.append(("public mark", f"a machine spoke it, {sure}"))
    for source in layers.mark.sources:
        by = f", by {source.table}" if source.table else ""
        sure = f"chance of error {source.chance_of_error}, key {source.key_name}"
        lines.append(("mark", f"{source.name}{by}, {sure}"))
    if layers.mark.note:
        lines.append(("note", layers.mark.note))
    console.print(plain(f"{layers.path}: {inspection.verdict.value}", "bold"), soft_wrap=True)
    for name, value in lines:
        console.print(plain(f"  {name}: {value}" if name else f"  {value}"), soft_wrap=True)
