"""What the pages about installing tell is enough, and right, as far as nobody else is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from narrator_daemon import config
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import keys
from narrator_daemon.settings import Settings

ROOT = Path(__file__).parent.parent.parent
OPERATE = ROOT / "docs/operate"


def block(page: str, language: str, number: int = 0) -> str:
    """A fenced block of a page."""
    text = (OPERATE / page).read_text()
    return str(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key as the page has it made, and a service account."""
    folder = tmp_path_factory.mktemp("files")
    made = [sys.executable, "-m", "narrator_daemon", "keys", "new", "watermark.key"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "my-catalogue",
        "private_key": pem.decode(),
        "client_email": "narrator@my-catalogue.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (folder / "service-account.json").write_text(json.dumps(account))
    return folder


@pytest.fixture
def machine(tmp_path: Path, files: Path) -> Path:
    """A folder as somebody has it who follows the page."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.toml").write_text(block("install.md", "toml"))
    return tmp_path


def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as ``run`` comes before it needs a network."""
    monkeypatch.chdir(folder)
    settings = config.load(Path("config.toml"), {})
    keys.require(settings)
    with Project(settings):
        pass


def test_the_configuration_of_the_page_is_enough(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(machine, monkeypatch)


@pytest.mark.parametrize("left_out", ["project_id", "database_url", "storage_bucket", "key_file"])
def test_nothing_in_it_can_be_left_out(
    left_out: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (machine / "config.toml").read_text()
    (machine / "config.toml").write_text(re.sub(rf"^{left_out} = .*\n", "", text, flags=re.M))
    with pytest.raises(ConfigError):
        start(machine, monkeypatch)


def test_the_page_has_every_key_that_has_no_default() -> None:
    """The configuration as the repository has it is refused for keys that the page fills in."""
    told = tomllib.loads(block("install.md", "toml"))
    with pytest.raises(ConfigError) as refused:
        Project(config.load(ROOT / "config.toml", {}))
    for section, key in re.findall(r"\[(\w+)\] (\w+):", str(refused.value)):
        assert key in told[section], key


def test_extras_of_the_page_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = set(
        re.findall(
            r"^\| `(\w+)` \|", (OPERATE / "install.md").read_text().split("## The project")[0], re.M
        )
    )
    assert told == set(project["optional-dependencies"]) - {"build", "dev", "docs"}


@pytest.mark.parametrize("page", ["traces.md"])
def test_configurations_of_other_pages_are_taken(page: str) -> None:
    Settings.model_validate(tomllib.loads(block(page, "toml")))


def test_the_values_of_the_chart_are_a_configuration() -> None:
    values = yaml.safe_load(block("helm.md", "yaml"))
    Settings.model_validate(values["config"])


def test_every_step_of_systemd_takes_a_file_that_is_there() -> None:
    text = (OPERATE / "systemd.md").read_text()
    for path in re.findall(r"\bdeploy/systemd/[\w.@*-]+", text):
        assert list(ROOT.glob(path)), path
    for unit in re.findall(r"systemctl (?:enable --now|edit --full|status) ([\w@ -]+)", text):
        for name in re.findall(r"narrator-daemon@?", unit):
            assert (ROOT / f"deploy/systemd/{name}.service").exists()
    # What is left to the unit is not asked of the configuration.
    unit = (ROOT / "deploy/systemd/narrator-daemon.service").read_text()
    for variable in ("NARRATOR_FIREBASE__CREDENTIALS", "NARRATOR_WATERMARK__KEY_FILE"):
        assert f"Environment={variable}=%d/" in unit


def test_overlays_and_values_of_the_pages_are_there() -> None:
    kubernetes = (OPERATE / "kubernetes.md").read_text()
    told = set(re.findall(r"^\| `(?:overlays/)?([\w-]+)` \|", kubernetes, re.MULTILINE))
    there = {path.name for path in (ROOT / "deploy/kubernetes/overlays").iterdir()}
    assert told == there | {"base"}
    values = yaml.safe_load((ROOT / "deploy/helm/narrator-daemon/values.yaml").read_text())
    for cell in re.findall(r"^\| (`.*?) \|", (OPERATE / "helm.md").read_text(), re.MULTILINE):
        parent = values
        for name in re.findall(r"`([\w.]+)`", cell):
            *path, last = name.lstrip(".").split(".")
            if not name.startswith("."):
                parent = values
                for key in path:
                    parent = parent[key]
            assert last in parent, name


def test_variables_of_terraform_are_told() -> None:
    text = (OPERATE / "terraform.md").read_text().split("## What the service")[0]
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }
    there = re.findall(
        r'^variable "(\w+)"', (ROOT / "deploy/terraform/variables.tf").read_text(), re.M
    )
    assert told == set(there)
