"""The Terraform files: parsed, and held against the providers' own schema and the daemon's needs.

No provider can be run here. What resources there are and what they take is read from the bindings
that HashiCorp generates from the provider's schema for its CDK.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.settings import Settings, Storage
from tests.deploy.conftest import TOOLS

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parent.parent.parent
TERRAFORM = ROOT / "deploy/terraform"

#: What every resource takes, whatever its provider says.
META = {"provider", "count", "for_each", "depends_on", "lifecycle", "provisioner", "connection"}

#: Terraform's own.
BUILT_IN = {"terraform_data": ({"triggers_replace", "input"}, {"id", "output"})}

_PARSE = """
import hcl2, json, sys
from pathlib import Path
print(json.dumps({p: hcl2.loads(Path(p).read_text()) for p in sys.argv[1:]}))
"""


@dataclass
class Shape:
    """What a resource or a block takes and gives, as the provider's schema has it."""

    takes: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    gives: set[str] = field(default_factory=set)
    blocks: dict[str, str] = field(default_factory=dict)


class Provider:
    """The google-beta provider's resources, which are those of google and more."""

    def __init__(self, wheel: Path) -> None:
        self._zip = zipfile.ZipFile(wheel)
        self._modules: dict[str, dict[str, ast.ClassDef]] = {}

    def _classes(self, kind: str) -> dict[str, ast.ClassDef]:
        if kind not in self._modules:
            name = f"cdktf_cdktf_provider_google_beta/{kind}/__init__.py"
            tree = ast.parse(self._zip.read(name))
            found = [node for node in tree.body if isinstance(node, ast.ClassDef)]
            self._modules[kind] = {node.name: node for node in found}
        return self._modules[kind]

    def shape(self, kind: str, block: str | None = None) -> Shape:
        """Of a resource (``google_x``, ``data_google_x``), or of one of its blocks by class.

        Raises:
            KeyError: there is none.
        """
        classes = self._classes(kind)
        camel = "".join(part.capitalize() for part in kind.split("_"))
        node = classes[block or next(name for name in classes if name.lower() == camel.lower())]
        shape = Shape()
        for method in node.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            if any(ast.unparse(one) == "builtins.property" for one in method.decorator_list):
                shape.gives.add(method.name)
            if method.name != "__init__":
                continue
            for argument, default in zip(
                method.args.kwonlyargs, method.args.kw_defaults, strict=True
            ):
                shape.takes.add(argument.arg)
                if default is None:
                    shape.needs.add(argument.arg)
                text = ast.unparse(argument.annotation) if argument.annotation else ""
                for name in classes:
                    if re.search(rf"\b{name}\b", text):
                        shape.blocks[argument.arg] = name
        return shape


@pytest.fixture(scope="module")
def provider() -> Provider:
    (wheel,) = (TOOLS / "wheels").glob("cdktf_cdktf_provider_google_beta-*.whl")
    return Provider(wheel)


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    files = sorted(TERRAFORM.glob("*.tf"))
    out = subprocess.run(
        [sys.executable, "-c", _PARSE, *files],
        env={"PYTHONPATH": str(TOOLS / "python"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr
    joined: dict[str, Any] = {}
    for document in json.loads(out.stdout).values():
        for kind, blocks in document.items():
            joined.setdefault(kind, []).extend(blocks)
    return joined


def bare(name: str) -> str:
    return name.strip('"')


def resources(parsed: dict[str, Any], of: str = "resource") -> Iterator[tuple[str, str, Any]]:
    """Type, name and body of each."""
    for block in parsed.get(of, []):
        for kind, named in block.items():
            for name, body in named.items():
                yield bare(kind), bare(name), body


def _body(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if not key.startswith("__")}


def _wrong(provider: Provider, kind: str, shape: Shape, body: dict[str, Any]) -> Iterator[str]:
    """What a body has that its schema has not, and what it lacks."""
    given = _body(body)
    for dynamic in given.pop("dynamic", []):
        for name, one in _body(dynamic).items():
            given[bare(name)] = one["content"]
    for name in sorted(given.keys() - shape.takes - META):
        yield f"{kind} takes no {name}"
    for name in sorted(shape.needs - given.keys()):
        yield f"{kind} needs {name}"
    for name, block in shape.blocks.items():
        for one in given.get(name, []) if name not in META else []:
            inner = provider.shape(kind, block)
            yield from (f"{name}: {text}" for text in _wrong(provider, kind, inner, one))


def test_each_resource_takes_what_it_is_given(parsed: dict[str, Any], provider: Provider) -> None:
    seen, wrong = 0, []
    for of, prefix in (("resource", ""), ("data", "data_")):
        for kind, name, body in resources(parsed, of):
            seen += 1
            if kind in BUILT_IN:
                assert set(_body(body)) - META <= BUILT_IN[kind][0], name
                continue
            shape = provider.shape(prefix + kind)
            wrong += list(_wrong(provider, prefix + kind, shape, body))
    assert seen > 12 and wrong == []


def test_the_check_of_the_schema_can_fail(provider: Provider) -> None:
    shape = provider.shape("google_storage_bucket")
    body = {"name": "x", "colour": "y", "cors": [{"origins": []}]}
    assert list(_wrong(provider, "google_storage_bucket", shape, body)) == [
        "google_storage_bucket takes no colour",
        "google_storage_bucket needs location",
        "cors: google_storage_bucket takes no origins",
    ]


def test_every_name_leads_somewhere_and_none_is_left_over(
    parsed: dict[str, Any], provider: Provider
) -> None:
    text = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    variables = {bare(name) for block in parsed["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", code)) == variables
    local = {name for block in parsed["locals"] for name in _body(block)}
    assert set(re.findall(r"\blocal\.(\w+)", code)) == local
    there = {(kind, name) for kind, name, _ in resources(parsed)}
    data = {(kind, name) for kind, name, _ in resources(parsed, "data")}
    references = re.findall(r"(data\.)?\b(google_\w+|terraform_data)\.(\w+)(?:\.(\w+))?", code)
    assert len(references) > 15
    for is_data, kind, name, attribute in references:
        assert (kind, name) in (data if is_data else there), (kind, name)
        if attribute:
            shape = provider.shape(("data_" if is_data else "") + kind)
            assert attribute in shape.gives, (kind, attribute)


def test_the_beta_provider_has_what_the_other_has_not(parsed: dict[str, Any]) -> None:
    for kind, name, body in resources(parsed):
        beta = kind.startswith("google_firebase_")
        assert (body.get("provider") == "google-beta") is beta, (kind, name)


def test_what_holds_books_or_audio_is_not_destroyed_by_a_change(parsed: dict[str, Any]) -> None:
    kept = {"google_firebase_database_instance", "google_storage_bucket"}
    for kind, _, body in resources(parsed):
        if kind in kept:
            assert body["lifecycle"][0]["prevent_destroy"] is True
            kept.remove(kind)
    assert kept == set()


def test_the_daemon_is_given_the_roles_of_the_table_and_no_others(parsed: dict[str, Any]) -> None:
    given = {
        bare(body["role"]): bare(body["member"])
        for kind, _, body in resources(parsed)
        if kind.endswith("_iam_member")
    }
    us = "${google_service_account.narrator.member}"
    for role, member in given.items():
        assert member == us or role == "roles/iam.workloadIdentityUser", role
    told = set(re.findall(r"`(roles/[\w.]+)`", (ROOT / "deploy/firebase/README.md").read_text()))
    assert set(given) - {"roles/iam.workloadIdentityUser"} == told
    whole = [kind for kind, _, _ in resources(parsed) if kind.startswith("google_project_iam")]
    assert whole == ["google_project_iam_member"]
    # A key in Terraform's state is a key that is not secret.
    assert not [kind for kind, _, _ in resources(parsed) if kind.endswith("_key")]


def test_the_prefix_is_where_the_daemon_puts_its_audio(parsed: dict[str, Any]) -> None:
    (condition,) = [
        body["condition"][0]["expression"]
        for _, _, body in resources(parsed)
        if "condition" in body
    ]
    prefix = Storage().object_name.partition("{")[0]
    assert f"/objects/{prefix}\\" in condition


def test_the_output_is_a_configuration_that_the_program_takes(parsed: dict[str, Any]) -> None:
    text = (TERRAFORM / "outputs.tf").read_text()
    (toml,) = re.findall(r"<<-EOT\n(.*?)\n\s*EOT", text, re.DOTALL)
    for name, value in {
        "var.project_id": "my-catalogue",
        "google_firebase_database_instance.books.database_url": "https://x.firebaseio.com",
        "google_storage_bucket.narrations.name": "bucket",
    }.items():
        toml = toml.replace("${" + name + "}", value)
    settings = Settings.model_validate(tomllib.loads(re.sub(r"^\s+", "", toml, flags=re.M)))
    assert settings.firebase.storage_bucket == "bucket"
    example = (TERRAFORM / "terraform.tfvars.example").read_text()
    named = set(re.findall(r"^#? ?(\w+) *=", example, re.MULTILINE))
    assert named == {bare(name) for block in parsed["variable"] for name in block}


def test_the_rules_are_set_as_the_database_takes_them(parsed: dict[str, Any]) -> None:
    """The command itself, against the local Firebase; the token is on no command line."""
    (body,) = [body for kind, _, body in resources(parsed) if kind == "terraform_data"]
    (step,) = body["provisioner"]
    ((_, local_exec),) = _body(step).items()
    command = json.loads(local_exec["command"])
    assert "TOKEN" in local_exec["environment"] and "Bearer %s" in command
    with LocalFirebase() as firebase:
        database = f"http://{firebase.endpoints['database_host']}"
        firebase.load("/books/b", {"title": "Emma"})
        with urlopen(f"{database}/books.json") as open_to_all:
            assert json.load(open_to_all)
        environment = {
            "PATH": "/usr/bin:/bin",
            "TOKEN": "owner",
            "RULES": str(ROOT / "deploy/firebase/database.rules.json"),
            "DATABASE_URL": database,
        }
        subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True)
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{database}/books.json")
        assert refused.value.code == 401
        bad = subprocess.run(
            ["sh", "-c", command], env={**environment, "TOKEN": "nobody"}, capture_output=True
        )
        assert bad.returncode != 0


def test_terraform_would_not_write_them_otherwise() -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("Terraform is in no registry that is asked here; its layout is not checked")
    found = subprocess.run(
        [terraform, "fmt", "-check", "-diff", TERRAFORM], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout
