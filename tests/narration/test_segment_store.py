"""Segments that outlive the process that spoke them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept

TEXTS = ["Call me Ishmael.", "Some years ago.", "Some years ago.", "Never mind how long."]


def sound(number: int, samples: int = 1000) -> NDArray[np.float32]:
    return np.random.default_rng(number).uniform(-1, 1, samples).astype(np.float32)


def kept(folder: Path, gigabytes: float = 1.0) -> KeptSegments:
    return KeptSegments(Kept(folder=folder, max_gigabytes=gigabytes))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "segments").glob("*.segments"))


@pytest.fixture
def spoken(tmp_path: Path) -> Iterator[Path]:
    """A folder with a narration of which three segments are there."""
    with kept(tmp_path).open("tale", TEXTS) as narration:
        for index in (2, 0, 1):
            narration.add(index, sound(index), {"draws": index})
    return tmp_path


def test_what_was_added_is_there_again_bit_for_bit(spoken: Path) -> None:
    with kept(spoken).open("tale", TEXTS) as narration:
        assert narration.indices == {0, 1, 2}
        for index in range(3):
            assert np.array_equal(narration.samples(index), sound(index))
            assert narration.note(index) == {"draws": index}
            assert narration.seconds(index) == 1000 / 24_000
        narration.add(3, sound(3), {})
        assert np.array_equal(narration.samples(3), sound(3))


def test_a_segment_is_replaced_and_another_note_stays_with_it(spoken: Path) -> None:
    with kept(spoken).open("tale", TEXTS) as narration:
        narration.add(0, sound(9, 500), {"draws": 5})
        narration.amend(1, {"draws": 6})
        with pytest.raises(KeyError):
            narration.amend(3, {})
    with kept(spoken).open("tale", TEXTS) as narration:
        assert narration.indices == {0, 1, 2}
        assert np.array_equal(narration.samples(0), sound(9, 500))
        assert narration.seconds(0) == 500 / 24_000
        assert np.array_equal(narration.samples(1), sound(1))
        assert [narration.note(index) for index in range(3)] == [
            {"draws": 5},
            {"draws": 6},
            {"draws": 2},
        ]
    # Of another text there is nothing that the note could be on.
    with kept(spoken).open("tale", [TEXTS[0], "New."]) as narration:
        assert narration.indices == {0}


def test_another_text_place_or_narration_finds_nothing_of_it(spoken: Path) -> None:
    with kept(spoken).open("another", TEXTS) as narration:
        assert not narration.indices
    # Places 1 and 2 hold the same words, and each its own audio.
    with kept(spoken).open("tale", [TEXTS[1], TEXTS[0], TEXTS[2], "New."]) as narration:
        assert narration.indices == {2}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_costs_what_it_hits_and_never_gives_wrong_audio(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    with kept(folder).open("tale", TEXTS) as narration:
        for index in range(4):
            narration.add(index, sound(index, 50), {"n": index})
    (path,) = files(folder)
    whole = path.read_bytes()
    record = len(whole) // 4
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        flipped = whole[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
    with kept(folder).open("tale", TEXTS) as narration:
        assert narration.indices >= set(range(place // record))
        for index in narration.indices:
            assert np.array_equal(narration.samples(index), sound(index, 50))
        for index in set(range(4)) - narration.indices:
            narration.add(index, sound(index, 50), {})
    with kept(folder).open("tale", TEXTS) as narration:
        assert narration.indices == set(range(4))


def test_nobody_else_may_read_it_and_names_tell_nothing(spoken: Path) -> None:
    folder = spoken / "segments"
    (path,) = files(spoken)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"Ishmael" not in path.read_bytes()


def test_two_at_once_do_not_mix(spoken: Path) -> None:
    store = kept(spoken)
    with store.open("tale", TEXTS) as first, kept(spoken).open("tale", TEXTS) as second:
        assert not second.indices
        second.add(3, sound(99), {})
        first.add(3, sound(3), {})
        assert np.array_equal(second.samples(3), sound(99))
    with store.open("tale", TEXTS) as narration:
        assert np.array_equal(narration.samples(3), sound(3))


def test_removed_while_it_is_read_it_can_be_read_to_the_end(spoken: Path) -> None:
    store = kept(spoken)
    with store.open("tale", TEXTS) as narration:
        store.remove("tale")
        assert np.array_equal(narration.samples(1), sound(1))
    assert not files(spoken)
    store.remove("tale")


def test_the_oldest_goes_when_there_is_too_much_and_never_what_is_in_use(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        with kept(tmp_path).open(name, TEXTS) as narration:
            narration.add(0, sound(0, 10_000), {})
        (path,) = (path for path in files(tmp_path) if path.name == f"{name}.segments")
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60 * age))
    # Room for one; the one that is opened does not count, nor one that another uses.
    with kept(tmp_path).open("middle", TEXTS), kept(tmp_path, 50e-6).open("other", TEXTS):
        names = {path.stem for path in files(tmp_path)}
    assert names == {"new", "middle", "other"}


def publish(folder: Path, name: str, age: float = 0.0, days: float = 7.0) -> None:
    store = KeptSegments(Kept(folder=folder, days=days))
    with store.open(name, TEXTS) as narration:
        narration.add(0, sound(0, 10_000), {"a": 1})
    store.publish(name)
    for path in (folder / "segments").glob(f"{name}.published"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "segments").iterdir()}


def test_what_is_published_can_be_read_and_not_gone_on_with(tmp_path: Path) -> None:
    publish(tmp_path, "tale")
    store = kept(tmp_path)
    file = store.reading("tale", TEXTS)
    assert file is not None
    with file:
        assert np.array_equal(file.samples(0), sound(0, 10_000)) and file.note(0) == {"a": 1}
        # Nobody removes or takes what is read.
        assert kept(tmp_path).reading("tale", TEXTS) is None
    with store.open("tale", TEXTS) as anew:
        assert not anew.indices
    store.remove("tale")
    assert names(tmp_path) == set()
    assert store.reading("tale", TEXTS) is None
    store.publish("tale")
    assert kept(tmp_path, 0).reading("tale", TEXTS) is None


def test_what_an_outcome_published_and_nobody_renamed_is_read_too(tmp_path: Path) -> None:
    with kept(tmp_path).open("tale", TEXTS) as narration:
        narration.add(0, sound(0), {})
    file = kept(tmp_path).reading("tale", TEXTS)
    assert file is not None and 0 in file and 1 not in file
    file.close()


def test_published_ones_go_after_their_days(tmp_path: Path) -> None:
    publish(tmp_path, "young", age=86_400)
    publish(tmp_path, "old", age=3 * 86_400)
    with KeptSegments(Kept(folder=tmp_path, days=2)).open("other", TEXTS):
        assert names(tmp_path) == {"young.published", "other.segments"}
    publish(tmp_path, "none", days=0)
    assert "none.published" not in names(tmp_path)


def test_published_ones_go_before_what_is_unfinished(tmp_path: Path) -> None:
    with kept(tmp_path).open("unfinished", TEXTS) as narration:
        narration.add(0, sound(0, 10_000), {})
    (path,) = files(tmp_path)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
    publish(tmp_path, "first", age=60)
    publish(tmp_path, "second")
    with kept(tmp_path, 90e-6).open("other", TEXTS):
        assert names(tmp_path) == {"unfinished.segments", "second.published", "other.segments"}
    kept(tmp_path).make_room(1)
    assert names(tmp_path) == {"unfinished.segments", "other.segments"}


def test_what_is_forgotten_goes(spoken: Path) -> None:
    (path,) = files(spoken)
    week = 7 * 86_400
    for age, left in ((week - 60, {"tale", "other"}), (week + 60, {"other"})):
        past = time.time() - age
        os.utime(path, (past, past))
        with kept(spoken).open("other", TEXTS):
            assert {path.stem for path in files(spoken)} == left


def works_unkept(store: KeptSegments) -> None:
    for _ in range(2):
        with store.open("tale", TEXTS) as narration:
            assert not narration.indices
            narration.add(1, sound(1), {"a": 1})
            assert np.array_equal(narration.samples(1), sound(1))
    store.remove("tale")
    with store.scratch() as file:
        file.write(b"RIFF")
        assert file.seek(0) == 0
        assert file.read() == b"RIFF"


def test_where_nothing_can_be_written_work_goes_on_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        store = kept(tmp_path / "file")
    assert [line["event"] for line in logs] == ["segments_not_kept"]
    works_unkept(store)
    # Without a temporary folder either, as under a read-only root.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file" / "none"))
    works_unkept(store)


def test_a_folder_that_was_opened_to_others_is_closed_again(spoken: Path) -> None:
    (spoken / "segments").chmod(0o775)
    with kept(spoken).open("tale", TEXTS) as narration:
        assert narration.indices == {0, 1, 2}
    assert stat.S_IMODE((spoken / "segments").stat().st_mode) == 0o700


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "segments").symlink_to(tmp_path / "elsewhere")
    with capture_logs() as logs:
        works_unkept(kept(tmp_path))
    assert "belongs to this user" in logs[0]["why"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_that_is_cut_short_under_it_is_an_error(tmp_path: Path) -> None:
    with kept(tmp_path).open("tale", TEXTS) as narration:
        narration.add(0, sound(0), {})
        (path,) = files(tmp_path)
        os.truncate(path, path.stat().st_size - 4)
        with pytest.raises(OSError, match="cut short"):
            narration.samples(0)


def test_a_file_that_another_uses_is_let_go_of(tmp_path: Path) -> None:
    store = kept(tmp_path)

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with store.open("tale", TEXTS):
        before = open_files()
        with store.open("tale", TEXTS) as second:
            assert not second.indices
        assert open_files() == before


def test_what_is_no_segment_file_is_left_and_hides_no_other(tmp_path: Path) -> None:
    publish(tmp_path, "old", age=8 * 86_400)
    for name in ("a.txt", "z.txt"):
        (tmp_path / "segments" / name).write_text("mine")
    with kept(tmp_path).open("tale", TEXTS):
        assert names(tmp_path) == {"a.txt", "z.txt", "tale.segments"}


def test_zero_keeps_nothing(tmp_path: Path) -> None:
    works_unkept(kept(tmp_path / "nowhere", 0))
    assert not (tmp_path / "nowhere").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    store = kept(tmp_path)
    (tmp_path / "segments" / "tale.segments").symlink_to(victim)
    works_unkept(store)
    assert victim.read_text() == "mine"
