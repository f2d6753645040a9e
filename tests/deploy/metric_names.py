"""Which metrics there are: what dashboards, alerts and autoscalers may ask for."""

from __future__ import annotations

from typing import Any

import promql_parser

from tests.daemon.test_metrics import GPU, condition, metrics, published

#: What other exporters of a cluster or a machine tell of this program's process.
OTHERS = {
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
    "node_systemd_unit_state": {"instance", "name", "state"},
}

#: Every scrape adds these.
SCRAPED = {"instance", "job", "namespace", "pod"}


def exported() -> dict[str, set[str]]:
    """Metrics and their labels, as a scrape gets them."""
    made = metrics(condition())
    made.ended(published(1.0))
    found: dict[str, set[str]] = {name: set() for name in GPU}
    for family in made.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric that a PromQL expression selects, with the labels that it matches.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[tuple[str, set[str]]] = []

    def walk(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            labels = {matcher.name for matcher in node.matchers.matchers}
            found.append((str(node.name), labels))
        for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
            inner = getattr(node, name, None)
            if isinstance(inner, promql_parser.Expr | promql_parser.VectorSelector):
                walk(inner)
        for inner in getattr(node, "args", None) or ():
            walk(inner)

    walk(promql_parser.parse(expression))
    return found


def unknown(expression: str) -> list[str]:
    """What an expression asks for and nobody exports."""
    known = {**exported(), **OTHERS}
    wrong = []
    for name, labels in selectors(expression):
        if name not in known:
            wrong.append(name)
        elif extra := labels - known[name] - SCRAPED:
            wrong.append(f"{name}{sorted(extra)}")
    return wrong
