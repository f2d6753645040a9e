"""TypeScript to JavaScript by erasing types, without node.

Only what can be erased is taken, as by ``tsc --erasableSyntaxOnly``: no enums, no namespaces, no
parameter properties. Whatever is erased leaves blanks, so that each line and column stays where it
was and no source map is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

#: Erased wherever they are. The names are those of the grammar, tree-sitter-typescript.
_TYPES = {
    "asserts_annotation",
    "implements_clause",
    "type_annotation",
    "type_arguments",
    "type_parameters",
    "type_predicate_annotation",
}
#: Statements and members that are types alone.
_DECLARATIONS = {
    "ambient_declaration",
    "function_signature",
    "index_signature",
    "interface_declaration",
    "method_signature",
    "type_alias_declaration",
}
#: Words and signs that say something of a type, by what they stand in.
_MARKS = {
    "method_definition": {"accessibility_modifier", "override_modifier", "?"},
    "non_null_expression": {"!"},
    "optional_parameter": {"?"},
    "public_field_definition": {
        *("accessibility_modifier", "override_modifier", "readonly", "?", "!")
    },
    "variable_declarator": {"!"},
}


class NotErasable(Exception):
    """The source cannot be made JavaScript by leaving types out; the message says where."""


def erase_types(source: str, name: str) -> str:
    """The JavaScript in a TypeScript module, each line and column where it was.

    Args:
        source: the module.
        name: of it, for the error.

    Raises:
        NotErasable: it is no TypeScript, or holds what more than erasing would be needed for.
    """
    text = bytearray(source.encode())
    tree = _parsed(bytes(text), tree_sitter_typescript.language_typescript(), name)
    for start, end, statement in _erased(tree):
        blank = re.sub(rb"[^\n]", b" ", text[start:end])
        # Where a statement was, the lines around it must not grow together.
        text[start:end] = b";" + blank[1:] if statement else blank
    _parsed(bytes(text), tree_sitter_javascript.language(), name)
    return text.decode()


def _parsed(text: bytes, language: object, name: str) -> Node:
    root = Parser(Language(language)).parse(text).root_node
    wrong = next(filter(_is_wrong, _walk(root)), None)
    if wrong is not None:
        line, column = wrong.start_point
        found = text.splitlines()[line].decode() if line < text.count(b"\n") else "the end"
        raise NotErasable(
            f"{name}:{line + 1}:{column + 1}: not TypeScript of which types can be erased: {found}"
        )
    return root


def _is_wrong(node: Node) -> bool:
    if node.type == "=>" and node.prev_sibling is not None:
        # The grammars allow a line to end here, and JavaScript does not.
        return node.prev_sibling.end_point.row != node.start_point.row
    return node.is_error or node.is_missing


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _erased(node: Node) -> Iterator[tuple[int, int, bool]]:
    """The stretches of bytes that go, and of each whether it is a whole statement."""
    kind, children = node.type, node.children
    words = {child.type for child in children}
    if kind in _TYPES:
        yield node.start_byte, node.end_byte, False
    elif kind in _DECLARATIONS or (
        kind in {"import_statement", "export_statement"}
        and ("type" in words or words & _DECLARATIONS)
    ):
        yield node.start_byte, node.end_byte, True
    elif kind in {"import_specifier", "export_specifier"} and "type" in words:
        comma = node.next_sibling
        yield node.start_byte, (comma if comma and comma.type == "," else node).end_byte, False
    elif kind in {"as_expression", "satisfies_expression"}:
        yield from _erased(children[0])
        yield children[0].end_byte, node.end_byte, False
    else:
        marks = _MARKS.get(kind, set())
        for child in children:
            if child.type in marks:
                yield child.start_byte, child.end_byte, False
            else:
                yield from _erased(child)
