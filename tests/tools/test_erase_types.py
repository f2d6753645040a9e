"""Types out, and nothing else: ``make e2e`` compares with esbuild besides."""

from __future__ import annotations

import re

import pytest

from erase_types import NotErasable, erase_types


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        ("const a: number = 1;", "const a = 1;"),
        ("let a!: string;", "let a;"),
        (
            "function f<T extends A>(a: T, b?: string, ...c: T[]): T | null {}",
            "function f(a, b, ...c) {}",
        ),
        ("const f = async (a: A): Promise<void> => {};", "const f = async (a) => {};"),
        ("function f(a: unknown): a is string {}", "function f(a) {}"),
        ("function f(a: unknown): asserts a {}", "function f(a) {}"),
        ("function f(a: string): void;\nfunction f(a: any) {}", ";\nfunction f(a) {}"),
        ("call<A, B>(a as B, (c as D)!.e, f satisfies G);", "call(a, (c).e, f);"),
        ("(a as B as C).d = <string>x;", "(a).d = x;"),
        ("new Map<string, number>();", "new Map();"),
        ("interface A { b: string }", ";"),
        ("export interface A<B> extends C {\n  b: string;\n}\nd();", ";\n\n\nd();"),
        ("type A = B | { c: D };", ";"),
        ('export type { A } from "./a.js";', ";"),
        ('import type { A } from "./a.js";', ";"),
        ('import { type A, b, type C } from "./a.js";', 'import { b, } from "./a.js";'),
        ("declare const a: B;", ";"),
        (
            "class A<B> extends C<B> implements D {\n  readonly #e: F = 1;\n  private g?: H;\n}",
            "class A extends C {\n  #e = 1;\n  g;\n}",
        ),
        ("class A { protected override b<C>(d: C): void {} }", "class A { b(d) {} }"),
        ("a ? b : c;\n`${d as E}: F`;", "a ? b : c;\n`${d}: F`;"),
        ('const a = "b: c as d";  // e: f', 'const a = "b: c as d";  // e: f'),
    ],
)
def test_types_go_and_all_else_stays_in_its_place(typescript: str, javascript: str) -> None:
    erased = erase_types(typescript, "a.ts")
    assert _words(erased) == _words(javascript)
    assert len(erased) == len(typescript)
    assert [i for i, c in enumerate(erased) if c == "\n"] == [
        i for i, c in enumerate(typescript) if c == "\n"
    ]
    # What stayed stayed where it was; a ; may stand for a statement that went.
    for was, now in zip(typescript, erased, strict=True):
        assert now in (was, " ", ";")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w ]", text)


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("enum A { B }", "1:1"),
        ("namespace A { export const b = 1; }", "1:1"),
        ("\nclass A { constructor(private b: C) {} }", "2:"),
        ("const a: = 1;", "1:"),
        ("const a = (b: C): {\n  d: E } => e;", "2:"),
        ("function (", "1:"),
        ('import a = require("b");', "1:"),
    ],
)
def test_what_erasing_is_not_enough_for_is_refused_with_its_place(source: str, where: str) -> None:
    with pytest.raises(NotErasable, match=rf"^page/a\.ts:{where}") as refused:
        erase_types(source, "page/a.ts")
    assert len(str(refused.value).splitlines()) == 1
