"""Names said right: what a lexicon should hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Names and rare words, and how they are said.")


@app.callback()
def _lexicon() -> None:
    pass


@app.command()
def suggest(
    text_file: Annotated[Path, typer.Argument(metavar="TEXT_FILE", help="UTF-8 text.")],
    words: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="More words that are known.", show_default=False),
    ] = None,
    listen: Annotated[
        bool,
        typer.Option(
            "--listen",
            help="Read each aloud and let the recogniser hear it; those that it mishears come "
            "first. Needs the extra recognise.",
        ),
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="How many words at most.")] = 50,
    config_file: ConfigOption = None,
) -> None:
    """List names and rare words of a text, as the beginning of a lexicon.

    They are those that no dictionary knows and the catalogue's lexicon does not hold, the most
    frequent first.
    """
    from narrator_daemon.commands import lexicon as command
    from narrator_daemon.narration.manner import catalogue_lexicon

    settings = load_settings(config_file)
    text = command.read(text_file)
    known = command.dictionary(words)
    found = command.suggest(text, known, catalogue_lexicon(settings.text.lexicon))[:most]
    if listen:
        found = command.listen(found, lambda sentences: _heard(settings, sentences))
    for line in command.lines(found):
        print(line)


def _heard(settings: Settings, sentences: list[str]) -> Iterator[str]:
    """What the recogniser hears of each sentence as the engine reads it."""
    from csm.takes.recognise import Recogniser
    from narrator_daemon import speech
    from narrator_daemon.speech import choosing

    recogniser = Recogniser(settings.takes.recogniser)
    engine = choosing.create(settings)
    try:
        engine.load()
        spoken = {
            one.index: one.samples
            for one in engine.speak(sentences, seed=0)
            if isinstance(one, speech.Spoken)
        }
        yield from (recogniser.hear(spoken[index]) for index in range(len(sentences)))
    finally:
        engine.close()
