"""How fast this machine speaks."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from rich.console import Console

from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.errors import WrongUse
from narrator_daemon.libraries import importing
from narrator_daemon.settings import Settings
from narrator_daemon.terminal import plain

app = typer.Typer()


@app.command()
def bench(
    slots: Annotated[
        str, typer.Option(help="Numbers of slots to try, such as 1,8,32.", show_default=False)
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long each is timed.")] = 5.0,
    random: Annotated[
        bool, typer.Option("--random", help="Random weights at full size: none need be there.")
    ] = False,
    engine: Annotated[
        Literal["csm", "kokoro", "piper"] | None,
        typer.Option(help="The engine; default: the one that is configured.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Measure how fast an engine speaks on this machine; of csm, suggest speech.slots too."""
    counts = [int(word) if word.isdecimal() else 0 for word in slots.split(",") if slots]
    if not all(1 <= count <= 512 for count in counts):
        raise WrongUse(
            f"found {slots!r}; must be numbers from 1 to 512 with commas between", where="--slots"
        )
    settings = load_settings(config_file)
    if engine is not None:
        speech = settings.speech.model_copy(update={"engine": engine})
        settings = settings.model_copy(update={"speech": speech})
    if settings.speech.engine != "csm":
        if counts or random:
            raise WrongUse("is for the engine csm", where="--slots" if counts else "--random")
        _voice(settings, seconds, as_json)
        return
    with importing("bench"):
        from narrator_daemon.commands import bench as benchmark

    console = Console()
    with importing("bench"), Console(stderr=True).status("…") as status:
        found = benchmark.run(
            settings,
            counts,
            seconds=seconds,
            random=random,
            tell=lambda doing: status.update(plain(doing)),
        )
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        return
    console.print(benchmark.table(found))
    console.print(f"suggested: speech.slots = {found.suggested_slots}")


def _voice(settings: Settings, seconds: float, as_json: bool) -> None:
    from narrator_daemon.commands import bench_voice

    with importing("bench"), Console(stderr=True).status("…") as status:
        found = bench_voice.run(
            settings, seconds=seconds, tell=lambda doing: status.update(plain(doing))
        )
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    else:
        Console().print(bench_voice.table(found))
