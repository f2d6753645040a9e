"""The command line. Each command calls one function.

Heavy libraries are imported by the commands that need them, so that ``health`` answers an exec
probe at once.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.table import Table

from narrator_daemon import __version__, config, logs
from narrator_daemon.config import ConfigError, Settings
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon import provenance

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Narrates the books of a Firebase catalogue.",
)
watermark_app = typer.Typer(no_args_is_help=True, help="Find and make watermarks.")
keys_app = typer.Typer(no_args_is_help=True, help="Watermark keys.")
app.add_typer(watermark_app, name="watermark")
app.add_typer(keys_app, name="keys")

#: Exit status for a command that cannot be carried out as asked: configuration, input, set-up.
_CANNOT = 2

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration; default: config.toml here, if there is one.",
        show_default=False,
    ),
]


def main() -> None:
    """Entry point of ``narrator-daemon``."""
    try:
        # Variables that are set win over the file's.
        load_dotenv(Path(".env"))
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(_fail(f".env: cannot be read: {error}").exit_code) from None
    app()


def _fail(message: str) -> typer.Exit:
    Console(stderr=True).print(plain(logs.redact(message), "red"), soft_wrap=True)
    return typer.Exit(_CANNOT)


def _settings(path: Path | None) -> Settings:
    try:
        settings = config.load(path)
    except ConfigError as error:
        raise _fail(str(error)) from None
    logs.configure(settings.logging.level, settings.logging.format)
    return settings


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def run(config_file: ConfigOption = None) -> None:
    """Narrate requested books until told to stop (SIGTERM or Ctrl-C)."""
    from narrator_daemon import speech
    from narrator_daemon.project import Project
    from narrator_daemon.worker import Worker

    settings = _settings(config_file)
    try:
        project = Project(settings)
        status = Worker(settings, speech.create(settings), project).run()
        project.close()
    except (ConfigError, speech.SpeechError) as error:
        raise _fail(str(error)) from None
    raise typer.Exit(status)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running and print the endpoints.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the WAV files go.")] = Path(
        "demo-output"
    ),
) -> None:
    """Do the whole job against a local Firebase: no key, no GPU, no network."""
    from narrator_daemon import demo as demonstration

    try:
        status = demonstration.run(out, keep=keep)
    except (demonstration.DemoError, ConfigError, ImportError) as error:
        raise _fail(str(error)) from None
    raise typer.Exit(status)


@app.command()
def emulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    database_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks one.")] = 9000,
    storage_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks one.")] = 9199,
    namespace: Annotated[str, typer.Option(help="Project and namespace.")] = config.DEMO_PROJECT,
    bucket: Annotated[str, typer.Option(help="Bucket.")] = config.DEMO_BUCKET,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Database rules, JSON.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep data here over restarts.", show_default=False),
    ] = None,
) -> None:
    """Run the local Firebase alone, until told to stop (SIGTERM or Ctrl-C).

    Prints one line of JSON with its endpoints when it is ready.
    """
    try:
        from narrator_daemon.emulator import EmulatorError, InvalidRulesError, serve
    except ImportError as error:
        raise _fail(str(error)) from None
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,62}", namespace):
        raise _fail(
            f"--namespace: found {namespace!r}; letters a-z, digits and - as in a project id"
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket) or ".." in bucket:
        raise _fail(
            f"--bucket: found {bucket!r}; letters a-z, digits, - _ and . as in a bucket name"
        )
    if data is not None and data.exists() and not data.is_dir():
        raise _fail(f"--data: {data} is no folder")
    try:
        serve(
            host=host,
            database_port=database_port,
            storage_port=storage_port,
            namespace=namespace,
            bucket=bucket,
            rules=rules,
            data=data,
        )
    except (EmulatorError, InvalidRulesError) as error:
        raise _fail(str(error)) from None


@app.command()
def narrate(
    text_file: Annotated[Path, typer.Argument(metavar="TEXT_FILE", help="UTF-8 text.")],
    out: Annotated[Path, typer.Option(metavar="FILE.wav", help="Where the audio goes.")],
    book_id: Annotated[
        str | None,
        typer.Option(help="Identity in the watermark; default: the file's name.", metavar="ID"),
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Read a text file aloud into a watermarked WAV, with no Firebase."""
    from narrator_daemon import reading
    from narrator_daemon.narration import Unnarratable
    from narrator_daemon.speech import SpeechError

    settings = _settings(config_file)
    try:
        reading.read_file(settings, text_file, out, book_id or text_file.stem)
    except Unnarratable as error:
        raise _fail(f"{text_file}: {error} ({error.failure.code.value})") from None
    except (ConfigError, SpeechError, reading.CannotRead) as error:
        raise _fail(str(error)) from None


@app.command()
def retry(
    book_ids: Annotated[list[str] | None, typer.Argument(metavar="[BOOK_ID]...")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Ask for failed books again, as pressing the button would."""
    from narrator_daemon import again
    from narrator_daemon.project import Unavailable

    if bool(book_ids) == failed:
        raise _fail("Name the books, or say --failed for all that have failed.")
    settings = _settings(config_file)
    try:
        asked = again.request_failed(settings, book_ids or None)
    except (ConfigError, Unavailable) as error:
        raise _fail(str(error)) from None
    for book_id, verdict in asked.items():
        print(plain(f"{book_id}: {verdict}"))
    raise typer.Exit(0 if all(verdict == again.ASKED for verdict in asked.values()) else 1)


@app.command()
def refresh_urls(config_file: ConfigOption = None) -> None:
    """Sign the URLs of all narrations anew, such as after the signing key was changed."""
    from narrator_daemon.project import Project, Unavailable
    from narrator_daemon.renewal import Renewer
    from narrator_daemon.storage import AudioStore

    settings = _settings(config_file)
    try:
        project = Project(settings)
        try:
            renewed = Renewer(project, AudioStore(project, settings.storage)).round(everything=True)
        finally:
            project.close()
    except (ConfigError, Unavailable) as error:
        raise _fail(str(error)) from None
    print(f"{renewed} URLs renewed")


@app.command()
def explain(book_id: str, config_file: ConfigOption = None) -> None:
    """Tell one book's story: exit 0 all fits, 1 something does not, 2 no such book."""
    from narrator_daemon import explain as explaining
    from narrator_daemon.project import Unavailable

    settings = _settings(config_file)
    try:
        story = explaining.explain(settings, book_id)
    except (ConfigError, Unavailable) as error:
        raise _fail(str(error)) from None
    if story is None:
        raise _fail(f"There is no book {book_id!r}.")
    console = Console()
    for name, value in story.fields.items():
        console.print(plain(f"{name:>12}  {value}"), soft_wrap=True)
    for entry in story.attempts:
        console.print(plain(json.dumps(entry, ensure_ascii=False)), soft_wrap=True)
    for problem in story.problems:
        console.print(plain(problem, "red"), soft_wrap=True)
    raise typer.Exit(1 if story.problems else 0)


@app.command()
def doctor(config_file: ConfigOption = None) -> None:
    """Find out what is wrong with this set-up: exit 0 nothing, 1 something."""
    from narrator_daemon.doctor import examine

    failed = False
    console = Console()
    colours = {"pass": "green", "warn": "yellow", "fail": "red"}
    for check in examine(_settings(config_file)):
        failed |= check.result == "fail"
        line = f"{check.result:4}  {check.name}: {logs.redact(check.note)}"
        console.print(plain(line, colours[check.result]), soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def health(config_file: ConfigOption = None) -> None:
    """Say how the daemon of this machine is: exit 0 healthy, 1 not, 2 no daemon runs."""
    from narrator_daemon.health import ask

    answer = ask(_settings(config_file).daemon.state_dir)
    print(json.dumps(answer.report))
    raise typer.Exit(answer.exit_code)


@watermark_app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Say which book each file was made from: exit 0 all found, 1 not, 2 unreadable.

    Books are looked up in the marks.json beside a file, else in the database if one is configured.
    """
    from narrator_daemon import provenance
    from narrator_daemon.project import Unavailable

    settings = _settings(config_file)
    key = _key_or_public(settings)
    findings = []
    for file in files:
        try:
            known = provenance.known_marks(settings, file.parent)
            findings.append(provenance.find(file, key, known))
        except (provenance.Unreadable, ConfigError, Unavailable) as error:
            raise _fail(str(error)) from None
    if as_json:
        print(json.dumps([finding.as_record() for finding in findings]))
    else:
        _print_findings(findings)
    raise typer.Exit(0 if all(finding.detection.found for finding in findings) else 1)


def _key_or_public(settings: Settings) -> bytes:
    from narrator_daemon import keys

    try:
        key = keys.load(settings)
    except ConfigError as error:
        raise _fail(str(error)) from None
    if key is None:
        note = "No watermark key is configured: using the public one, which proves nothing."
        Console(stderr=True).print(note, style="yellow")
    return key or keys.DEMO_KEY


def _print_findings(findings: list[provenance.Finding]) -> None:
    table = Table()
    for heading in ("File", "Verdict", "Book", "Score", "Chance of error", "Note"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        found = finding.detection
        book = finding.book_id or (f"index {found.book_index}, not known" if found.found else "")
        table.add_row(
            plain(finding.path),
            "marked" if found.found else "no mark found",
            plain(book),
            f"{found.score:.1f}",
            finding.chance_of_error if found.found else "",
            plain(found.note),
        )
    Console().print(table)


@keys_app.command()
def new(
    file: Annotated[Path, typer.Argument(help="Written with mode 600; must not exist.")],
) -> None:
    """Make a watermark key."""
    from narrator_daemon import keys

    try:
        keys.write_new(file)
    except FileExistsError:
        raise _fail(f"{file}: is there already; a key that marked anything is kept") from None
    except OSError as error:
        raise _fail(f"{file}: cannot be written: {error.strerror}") from None
    print(f"Wrote {os.fspath(file)}. Keep a copy: marks made with it can be found with it only.")


if __name__ == "__main__":
    main()
