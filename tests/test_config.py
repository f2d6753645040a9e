from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from narrator_daemon import addresses, config
from narrator_daemon.errors import ConfigError
from narrator_daemon.marks import keys
from narrator_daemon.settings import Settings

ROOT = Path(__file__).parent.parent


def load(tmp_path: Path, text: str = "", environment: dict[str, str] | None = None):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return config.load(path, environment or {})


def refusal(tmp_path: Path, text: str = "", environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text, environment)
    return str(refused.value)


def test_the_shipped_file_shows_every_key_with_its_default(tmp_path: Path) -> None:
    shipped = (ROOT / "config.toml").read_text()
    uncommented = "\n".join(
        line.removeprefix("#")
        if line.startswith("#") and " = " in line and line[1] != " "
        else line
        for line in shipped.splitlines()
    )
    shown = tomllib.loads(uncommented)
    defaults = Settings()
    for section in Settings.model_fields:
        table = getattr(defaults, section)
        if section in ("storage_emulator", "databases"):
            continue
        assert set(shown[section]) == set(type(table).model_fields), section
        for key, value in tomllib.loads(shipped).get(section, {}).items():
            default = getattr(table, key)
            # TOML has no tuples.
            default = list(default) if isinstance(default, tuple) else default
            assert value == default, (section, key)


@pytest.mark.parametrize(
    ("written", "formats"),
    [("m4a", ["m4a"]), ("mp3, opus,mp3", ["mp3", "opus"]), ("opus m4a", ["opus", "m4a"]), ("", [])],
)
def test_formats_in_the_environment_are_a_list(
    tmp_path: Path, written: str, formats: list[str]
) -> None:
    settings = load(tmp_path, "", {"NARRATOR_FILES__FORMATS": written})
    assert list(settings.files.formats) == formats


def test_a_format_that_is_not_built_in_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[files\] formats: found 'flac'"):
        load(tmp_path, '[files]\nformats = ["m4a", "flac"]\n', {})


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, '[speech]\nengine = "csm"\n', {"NARRATOR_SPEECH__ENGINE": "tone"})
    assert settings.speech.engine == "tone"


def test_the_plain_names_are_honoured(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        environment={
            "FIREBASE_PROJECT_ID": "p",
            "FIREBASE_CREDENTIALS_PATH": "/k.json",
            "TTS_DEBUG": "1",
        },
    )
    assert settings.firebase.project_id == "p"
    assert settings.firebase.credentials == Path("/k.json")
    assert settings.logging.level == "debug"


def test_emulator_variables_win_over_everything(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[firebase]\ndatabase_url = "https://real.firebaseio.com"\ncredentials = "real.json"\n',
        {
            "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:9000",
            "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9199",
        },
    )
    assert settings.emulated
    assert settings.firebase.database_url == "http://127.0.0.1:9000?ns=demo-books"
    assert settings.firebase.storage_bucket == "demo-books.appspot.com"
    assert settings.firebase.credentials is None
    assert keys.require(settings, {}) == keys.DEMO_KEY


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("[limits]\nmax_wrods = 3\n", {}, ["config.toml", "[limits] max_wrods", "max_words"]),
        ("[limts]\n", {}, ["config.toml", "[limts]", "limits"]),
        ("limits = 3\n", {}, ["config.toml", "limits", "section"]),
        ('[limits]\nmax_words = "9"\n', {}, ["config.toml", "max_words", "'9'", "number"]),
        ("[limits]\nmax_words = true\n", {}, ["max_words", "True", "number"]),
        ("[limits]\nmax_words = 0\n", {}, ["max_words", "found 0", "greater than or equal to 1"]),
        ('[watermark]\nself_check = "no"\n', {}, ["self_check", "'no'", "true or false"]),
        (
            '[speech]\nengine = "espeak"\n',
            {},
            ["engine", "'espeak'", "'kokoro', 'piper' or 'tone'"],
        ),
        ('[voice]\nreference = "a.wav"\n', {}, ["[voice]", "transcript"]),
        ("[claims]\nbeat_seconds = 20.0\n", {}, ["[claims]", "three times beat_seconds"]),
        ('[storage]\nobject_name = "all.wav"\n', {}, ["object_name", "{token}"]),
        ('[storage]\nobject_name = "../{token}"\n', {}, ["object_name", "no .."]),
        ('[firebase]\ndatabase_url = "ftp://x"\n', {}, ["database_url", "'ftp://x'"]),
        ('[books]\npath = "a.b"\n', {}, ["path", "'a.b'"]),
        ("[limits\n", {}, ["config.toml", "not TOML", "line 1"]),
        ("", {"NARRATOR_SPEACH__ENGINE": "tone"}, ["NARRATOR_SPEACH__ENGINE", "speech"]),
        ("", {"NARRATOR_SPEECH__ENGIN": "tone"}, ["NARRATOR_SPEECH__ENGIN", "engine"]),
        ("", {"NARRATOR_ENGINE": "tone"}, ["NARRATOR_ENGINE", "SECTION__KEY"]),
        ("", {"NARRATOR_LIMITS__MAX_WORDS": "many"}, ["NARRATOR_LIMITS__MAX_WORDS", "'many'"]),
        ("", {"STORAGE_EMULATOR_HOST": "http://x:1"}, ["FIREBASE_DATABASE_EMULATOR_HOST", "both"]),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, text: str, environment: dict[str, str], said: list[str]
) -> None:
    message = refusal(tmp_path, text, environment)
    for part in said:
        assert part in message


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[limits]\nmax_words = 0\nmax_characters = 0\n[nope]\n")
    assert len(message.splitlines()) == 3


def test_a_missing_file_is_refused_and_a_missing_default_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        config.load(tmp_path / "nowhere.toml", {})
    monkeypatch.chdir(tmp_path)
    assert config.load(None, {}) == Settings()


def test_a_project_is_required_to_run() -> None:
    with pytest.raises(ConfigError) as refused:
        config.require_project(Settings())
    for key in ("project_id", "database_url", "storage_bucket"):
        assert f"[firebase] {key}: is not set" in str(refused.value)


class TestKeys:
    def test_a_new_key_is_readable_by_its_owner_only_and_loads(self, tmp_path: Path) -> None:
        path = tmp_path / "watermark.key"
        keys.write_new(path)
        assert path.stat().st_mode & 0o777 == 0o600
        settings = load(tmp_path, f'[watermark]\nkey_file = "{path}"\n')
        assert len(keys.require(settings, {})) == 32

    def test_a_key_file_is_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "watermark.key"
        path.write_text("old")
        with pytest.raises(ConfigError, match="is there already"):
            keys.write_new(path)
        assert path.read_text() == "old"

    def test_a_real_project_needs_a_key_of_its_own(self) -> None:
        with pytest.raises(ConfigError, match="narrator-daemon keys new"):
            keys.require(Settings(), {})

    @pytest.mark.parametrize(
        "written", ["5ec2e7", "ab" * 32, "not hexadecimal at all, but a secret"]
    )
    def test_an_unusable_key_is_refused_without_quoting_it(
        self, tmp_path: Path, written: str
    ) -> None:
        path = tmp_path / "k"
        path.write_text(written)
        settings = load(tmp_path, f'[watermark]\nkey_file = "{path}"\n')
        with pytest.raises(ConfigError) as refused:
            keys.require(settings, {})
        assert str(path) in str(refused.value)
        assert written not in str(refused.value)

    def test_the_environment_wins_over_the_file(self, tmp_path: Path) -> None:
        settings = load(tmp_path, '[watermark]\nkey_file = "/nowhere"\n')
        written = bytes(range(16))
        assert keys.require(settings, {"NARRATOR_WATERMARK_KEY": written.hex()}) == written

    def test_retired_keys_are_known_and_do_not_embed(self, tmp_path: Path) -> None:
        for name in ("new.key", "old/a.key", "older/a.key", "copy.key"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            keys.write_new(tmp_path / name)
        (tmp_path / "copy.key").write_text((tmp_path / "new.key").read_text())
        retired = [str(tmp_path / name) for name in ("old/a.key", "older/a.key", "copy.key")]
        settings = load(
            tmp_path,
            f'[watermark]\nkey_file = "{tmp_path / "new.key"}"\nretired_key_files = {retired}\n',
        )
        known = keys.load_all(settings, {})
        assert [each.name for each in known] == ["new.key", *retired[:2]]
        assert known[0].key == keys.load(settings, {})
        assert known[0].key.hex() not in repr(known)

        by_environment = load(
            tmp_path, "", {"NARRATOR_WATERMARK__RETIRED_KEY_FILES": ":".join(retired)}
        )
        assert keys.load(by_environment, {}) is None
        assert [each.key for each in keys.load_all(by_environment, {})] == [
            *(each.key for each in known[1:]),
            known[0].key,
        ]

    def test_retired_keys_may_be_in_the_environment(self, tmp_path: Path) -> None:
        one, two = bytes(range(16)), bytes(range(20))
        variables = {
            "NARRATOR_WATERMARK_KEY": one.hex(),
            "NARRATOR_WATERMARK_RETIRED_KEYS": f" {two.hex()} {one.hex()}",
        }
        known = keys.load_all(load(tmp_path, environment=variables), variables)
        assert [each.key for each in known] == [one, two]
        variables["NARRATOR_WATERMARK_RETIRED_KEYS"] += " 5ec2e7"
        with pytest.raises(ConfigError, match=r"RETIRED_KEYS \(3\)") as refused:
            keys.load_all(Settings(), variables)
        assert "5ec2e7" not in str(refused.value)


EMULATORS = {
    "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:9000",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9199",
}


class TestAddresses:
    @pytest.mark.parametrize(
        "written",
        [
            "https://x.firebaseio.com",
            "https://x.firebaseio.com/",
            "https://x.firebaseio.com//",
            "HTTPS://X.firebaseio.com:443/",
            " https://x.firebaseio.com\n",
            "x.firebaseio.com",
        ],
    )
    def test_a_database_has_one_spelling(self, tmp_path: Path, written: str) -> None:
        settings = load(tmp_path, environment={"NARRATOR_FIREBASE__DATABASE_URL": written})
        assert settings.firebase.database_url == "https://x.firebaseio.com"

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ("http://x.firebaseio.com", "https://"),
            ("http://x.europe-west1.firebasedatabase.app", "https://"),
            ("http://db.example.com", "https://"),
            ("http://127.0.0.1:9000?ns=x", "FIREBASE_DATABASE_EMULATOR_HOST"),
            ("https://x.firebaseio.com/books", "no path"),
            ("https://x.firebaseio.com/books.json", "no path"),
            ("https://console.firebase.google.com/project/x/database", "no path"),
            ("https://user:secret@x.firebaseio.com", "no path"),
            ("https://x.firebaseio.com#/", "no path"),
            ("https://x.firebaseio.com:abc", "no path"),
            ("https://[x", "no path"),
            ("ftp://x.firebaseio.com", "no path"),
            ("x", "no path"),
            ("", "no path"),
        ],
    )
    def test_what_is_no_address_is_refused(self, tmp_path: Path, written: str, says: str) -> None:
        environment = {"NARRATOR_FIREBASE__DATABASE_URL": written}
        message = refusal(tmp_path, environment=environment)
        assert message.startswith("NARRATOR_FIREBASE__DATABASE_URL") and says in message
        in_file = refusal(tmp_path, f"[firebase]\ndatabase_url = '{written}'\n")
        assert "config.toml: [firebase] database_url" in in_file and says in in_file

    @pytest.mark.parametrize("written", ["b.appspot.com", "gs://b.appspot.com/", "b.appspot.com/ "])
    def test_a_bucket_has_one_spelling(self, tmp_path: Path, written: str) -> None:
        settings = load(tmp_path, f"[firebase]\nstorage_bucket = '{written}'\n")
        assert settings.firebase.storage_bucket == "b.appspot.com"

    @pytest.mark.parametrize(
        "written", ["gs://b/folder", "https://storage.googleapis.com/b", "Ab", "b c", "", "s3://b"]
    )
    def test_what_is_no_bucket_is_refused(self, tmp_path: Path, written: str) -> None:
        assert "must be a bucket's name" in refusal(
            tmp_path, f"[firebase]\nstorage_bucket = '{written}'\n"
        )

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("https://x.firebaseio.com/books", "https://x.firebaseio.com//books", True),
            ("https://x.firebaseio.com/books", "https://X.firebaseio.com:443/books", True),
            ("http://127.0.0.1:9?ns=d/books", "http://localhost:9/?ns=d/books", True),
            ("https://x.firebaseio.com/books", "https://y.firebaseio.com/books", False),
            ("https://x.firebaseio.com/books", "https://x.firebaseio.com/other", False),
            ("http://127.0.0.1:9?ns=d/books", "http://127.0.0.1:9?ns=e/books", False),
            ("https://x.firebaseio.com/Books", "https://x.firebaseio.com/books", False),
            ("junk\n/", "https://x.firebaseio.com/books", False),
            ("", "https://x.firebaseio.com/books", False),
        ],
    )
    def test_a_catalogue_is_known_in_every_spelling(self, one: str, other: str, same: bool) -> None:
        assert addresses.same_catalogue(one, other) is same


class TestEmulatorsBesideRealCredentials:
    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        path = tmp_path / "key.json"
        path.write_text('{"type": "service_account", "project_id": "shop-1"}')
        return str(path)

    def test_are_refused(self, tmp_path: Path, key: str) -> None:
        for variables in (
            {"GOOGLE_APPLICATION_CREDENTIALS": key},
            {"FIREBASE_CREDENTIALS_PATH": key, "FIREBASE_PROJECT_ID": "shop-1"},
        ):
            message = refusal(tmp_path, environment={**EMULATORS, **variables})
            assert "shop-1" in message and "--emulated" in message and ".env" in message
        in_file = f"[firebase]\nproject_id = 'shop-1'\ncredentials = '{key}'\n"
        assert "--emulated" in refusal(tmp_path, in_file, EMULATORS)

    def test_are_taken_where_they_are_meant(self, tmp_path: Path, key: str) -> None:
        named = {**EMULATORS, "GOOGLE_APPLICATION_CREDENTIALS": key}
        demo = {**named, "FIREBASE_PROJECT_ID": "demo-shop"}
        assert load(tmp_path, environment=demo).emulated
        said = {**named, "NARRATOR_FIREBASE__EMULATED": "true"}
        assert load(tmp_path, environment=said).emulated
        settings = config.load(None, named, emulated=True)
        assert settings.emulated and settings.firebase.credentials is None

    def test_nothing_real_is_nothing_to_refuse(self, tmp_path: Path) -> None:
        (tmp_path / "demo.json").write_text('{"type": "service_account", "project_id": "demo-x"}')
        (tmp_path / "junk.json").write_text("[]")
        for name in ("demo.json", "junk.json", "none.json"):
            named = {**EMULATORS, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / name)}
            assert load(tmp_path, environment=named).emulated

    def test_emulators_that_are_meant_must_be_there(self, tmp_path: Path) -> None:
        assert "are not: set both" in refusal(tmp_path, "[firebase]\nemulated = true\n")


SEVERAL = """
[[firebase]]
name = "fiction"
project_id = "one"
database_url = "https://one.firebaseio.com"
storage_bucket = "one.appspot.com"

[[firebase]]
name = "children"
project_id = "two"
database_url = "https://two.firebaseio.com"
storage_bucket = "two.appspot.com"
database_auth_uid = "reader"

[limits]
max_words = 7
"""


def test_several_databases_share_all_other_settings(tmp_path: Path) -> None:
    every = load(tmp_path, SEVERAL, {"NARRATOR_FIREBASE__DATABASE_AUTH_UID": "narrator"})
    one, two = every.each_database
    assert (one.firebase.name, one.firebase.project_id) == ("fiction", "one")
    assert (two.firebase.name, two.firebase.storage_bucket) == ("children", "two.appspot.com")
    # What the environment says holds where the file says nothing.
    assert one.firebase.database_auth_uid == "narrator"
    assert two.firebase.database_auth_uid == "reader"
    assert one.limits.max_words == two.limits.max_words == 7
    with pytest.raises(ConfigError, match=r"fiction, children.*--database NAME"):
        config.require_project(every)
    path = tmp_path / "config.toml"
    chosen = config.load(path, {}, database="children")
    assert chosen.firebase.project_id == "two" and chosen.each_database == (chosen,)
    config.require_project(chosen)
    with pytest.raises(ConfigError, match="'poems'; there are fiction, children"):
        config.load(path, {}, database="poems")


def test_one_database_is_itself_each(tmp_path: Path) -> None:
    text = SEVERAL[: SEVERAL.index('[[firebase]]\nname = "children"')]
    for written in (text, text.replace("[[firebase]]", "[firebase]")):
        settings = load(tmp_path, written)
        assert settings.each_database == (settings,)
        assert settings.firebase.name == "fiction" and settings.databases == ()
        config.require_project(settings)
    with pytest.raises(ConfigError, match=r"\[firebase\] is fiction"):
        config.load(tmp_path / "config.toml", {}, database="x")


def test_each_of_several_is_a_database_of_its_own_on_emulators(tmp_path: Path) -> None:
    emulators = {
        config.DATABASE_EMULATOR: "localhost:9000",
        config.STORAGE_EMULATOR: "http://localhost:9199",
    }
    text = '[[firebase]]\nname = "a"\n[[firebase]]\nname = "b"\nproject_id = "demo-b"\n'
    one, two = load(tmp_path, text, emulators).each_database
    assert one.emulated and two.emulated
    assert one.firebase.database_url == "http://localhost:9000?ns=a"
    assert two.firebase.database_url == "http://localhost:9000?ns=b"
    assert (one.firebase.project_id, two.firebase.project_id) == ("demo-books", "demo-b")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "children"\n', "", "each needs a name"),
        ('"children"', '"fiction"', "fiction is the name of two"),
        ("two.firebaseio", "one.firebaseio", "children has the database_url of another"),
        ('"children"', '"Für Kinder"', r"\[\[firebase\]\] Für Kinder: name: found"),
        ("database_auth_uid", "auth_uid", r"\[\[firebase\]\] children: auth_uid: no such key"),
        ('"reader"', "7", r"\[\[firebase\]\] children: database_auth_uid: found 7"),
        ('"two.appspot.com"', "true", r"\[\[firebase\]\] children: storage_bucket: found True"),
        ("https://two", "http://two", "https://"),
        ("[limits]", '[storage]\nurl = "x"\n[limits]', r"\[storage\] url"),
        ('= "reader"', '= "reader"\nemulated = "yes"', "must be true or false"),
    ],
)
def test_what_is_wrong_with_one_of_several_is_told_with_its_name(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, SEVERAL.replace(old, new))


def test_what_is_of_each_database_cannot_be_said_in_the_environment(tmp_path: Path) -> None:
    said = refusal(tmp_path, SEVERAL, {"FIREBASE_PROJECT_ID": "three"})
    assert said.startswith("FIREBASE_PROJECT_ID: is set, and there are 2 [[firebase]]")
