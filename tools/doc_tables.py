"""Tables of the documentation that follow from the program: settings, commands, metrics and more.

Pages under ``docs/`` call these functions between ``[[[cog`` and ``[[[end]]]``; ``make tables``
writes what they give, and ``make docs`` fails where a page holds something else. What a table says
in words stands beside the thing it is about: in ``config.toml``, in a command's help, in a metric's
text; or in ``doc_words``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from doc_words import CODES, FIELDS
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.cli import app
from narrator_daemon.settings import Settings

ROOT = Path(__file__).parent.parent


def error_codes() -> str:
    """A row for each code of the closed list."""
    codes = [code.value for code in ErrorCode]
    _complete("CODES", set(CODES), set(codes))
    return _table(["code", "what it means", "what to do"], ([_code(c), *CODES[c]] for c in codes))


def fields() -> str:
    """A row for each field that frontend and daemon share."""
    named: set[str] = set()
    for path in (ROOT / "narrator_daemon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"^narrative(?:Audio|Updated)\w+$", node.value))
    _complete("FIELDS", set(FIELDS), named)
    rows = [[_code(name), who, meaning] for name, (who, meaning) in FIELDS.items()]
    text = [_code("narrative"), "frontend", "the text to read; `books.text_field` names the field"]
    return _table(["field", "who writes", "meaning"], [text, *rows])


def settings() -> str:
    """All settings by section, with what ``config.toml`` says of each."""
    parts = []
    for section, blocks in _blocks().items():
        model: Any = Settings.model_fields[section].annotation
        parts.append(f"## [{section}] {{: #{section} }}\n\n{_prose(model.__doc__)}")
        for names, comment in blocks:
            title = ", ".join(names)
            rows = [_setting(section, name, model) for name in names]
            parts.append(f"### {_escaped(title)} {{: #{section}.{names[0]} }}\n\n{_prose(comment)}")
            parts.append(_table(["key", "default", "allowed"], rows))
    return "\n\n".join(parts)


def _blocks() -> dict[str, list[tuple[list[str], str]]]:
    """By section, each comment of ``config.toml`` and the keys under it."""
    found: dict[str, list[tuple[list[str], str]]] = {}
    comment: list[str] = []
    names: list[str] = []
    for line in [*(ROOT / "config.toml").read_text(encoding="utf-8").splitlines(), ""]:
        key = re.match(r"#?([a-z_]+) = ", line)
        if header := re.fullmatch(r"\[(\w+)\]", line):
            blocks = found.setdefault(header[1], [])
            comment, names = [], []
        elif key:
            names.append(key[1])
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif not line and names:
            blocks.append((names, "\n".join(comment)))
            comment, names = [], []
    return found


def _setting(section: str, name: str, model: type[BaseModel]) -> list[str]:
    field = model.model_fields[name]
    schema = model.model_json_schema()["properties"][name]
    default: Any = field.default
    if default is PydanticUndefined:
        shown = "see above"
    elif default is None:
        shown = "none"
    else:
        shown = _code(_toml(default))
    return [_code(f"{section}.{name}"), shown, _allowed(schema)]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if value < 1e5 else str(value)


def _allowed(schema: dict[str, Any]) -> str:
    """In words, what a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(_code(f'"{one}"') for one in schema["enum"])
    kind = schema.get("type")
    if "enum" in schema.get("items", {}):
        return f"list of {_allowed(schema['items'])}"
    words = {
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
        "array": "list of paths",
        "string": "path" if schema.get("format") == "path" else "text",
    }[str(kind)]
    bounds = [
        f"{sign} {schema[key]:,g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    if "pattern" in schema:
        bounds.append(_code(schema["pattern"].replace("|", "\\|")))
    return " ".join([words, ", ".join(bounds)]).strip()


def commands() -> str:
    """Every command with its arguments and options."""
    parts = []
    for path, command in _leaves("narrator-daemon", typer.main.get_command(app)):
        context = command.make_context(path, [], resilient_parsing=True)
        usage, rows = [path], []
        for parameter in command.params:
            name, told = parameter.get_help_record(context)
            meaning, facts = re.fullmatch(r"(.*?) *(?:\[(.*)\])?", told, re.DOTALL).groups("")
            if parameter.param_type_name == "argument":
                name = parameter.metavar or parameter.name.upper()
                usage.append(name if parameter.required or "[" in name else f"[{name}]")
            elif parameter.required:
                usage.append(name)
            if meaning:
                rows.append([_code(name), meaning, facts.replace("x", "value")])
        parts += [
            f"## {path} {{: #{path.replace(' ', '-')} }}",
            f"```\n{' '.join(usage)} [OPTIONS]\n```",
            _paragraphs(command.help),
            *([_table(["option", "meaning", ""], rows)] if rows else []),
        ]
    return "\n\n".join(parts)


def command_list() -> str:
    """A row for each command: its name and its first sentence."""
    rows = [
        [
            f"[`{path}`](commands.md#{path.replace(' ', '-')})",
            _paragraphs(command.help).split("\n")[0],
        ]
        for path, command in _leaves("narrator-daemon", typer.main.get_command(app))
    ]
    return _table(["command", "what it does"], rows)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, sub in command.commands.items():
        if hasattr(sub, "commands"):
            yield from _leaves(f"{path} {name}", sub)
        else:
            yield f"{path} {name}", sub


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(_one_line(part) for part in (text or "").split("\n\n"))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def metrics() -> str:
    """Every metric that this project exports, as its source names it."""
    found: dict[str, list[str]] = {}
    source = (ROOT / "narrator_daemon/daemon/metrics.py").read_text(encoding="utf-8")
    for kind, name, text, labels in _metrics(ast.parse(source), ""):
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        shown = f"{name}{suffix}{{{', '.join(labels)}}}" if labels else f"{name}{suffix}"
        found[name] = [_code(shown), kind, text]
    return _table(["metric", "kind", "what it is"], found.values())


_KINDS = {
    "Counter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "Histogram": "histogram",
    "InfoMetricFamily": "info",
}


def _metrics(node: ast.AST, kind: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Kind, name, text and labels of what is constructed, or listed for a loop that constructs."""
    if isinstance(node, ast.For):
        made = (child.func for child in ast.walk(node) if isinstance(child, ast.Call))
        names = [func.id for func in made if isinstance(func, ast.Name)]
        kind = next((_KINDS[name] for name in names if name in _KINDS), kind)
    items: list[ast.expr] = []
    labels: list[str] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _KINDS:
        kind, items = _KINDS[node.func.id], node.args
        given = [*node.args, *(word.value for word in node.keywords if word.arg != "buckets")]
        for one in given:
            names = one.elts if isinstance(one, ast.List) else getattr(one, "keys", [])
            labels += [str(name.value) for name in names if isinstance(name, ast.Constant)]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "_labelled":  # name, text, label, values
            kind, items = "gauge", node.args[:2]
            labels = [str(one.value) for one in node.args[2:3] if isinstance(one, ast.Constant)]
    elif isinstance(node, ast.Tuple):
        items = node.elts
    texts = [str(one.value) for one in items[:2] if isinstance(one, ast.Constant)]
    if len(texts) == 2 and texts[0].startswith("narrator_"):
        yield kind, texts[0], texts[1], labels
    for child in ast.iter_child_nodes(node):
        yield from _metrics(child, kind)


def decisions() -> str:
    """The list of decisions, by number."""
    lines = []
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines)


def _table(headings: list[str], rows: Any) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _escaped(text: str) -> str:
    return text.replace("_", "\\_")


#: Words of a comment that Markdown would take for emphasis: names and paths with _ in them.
_NAMES = re.compile(r"(?<![`\w$./-])[\w$/.-]*\w_\w[\w/.-]*(?<!\.)")


def _prose(comment: str) -> str:
    text = _NAMES.sub(lambda match: _code(match[0]), comment.replace("``", "`"))
    return text.replace("<", "&lt;")


def _complete(name: str, told: set[str], there: set[str]) -> None:
    """Ends the program where one of two sets holds what the other does not."""
    if told != there:
        missing, many = sorted(there - told), sorted(told - there)
        raise SystemExit(f"doc_words.{name}: missing {missing}, not in the program {many}")
