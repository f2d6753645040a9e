from __future__ import annotations

from pathlib import Path

import pytest
import rooms


@pytest.fixture(scope="module")
def house() -> rooms.House:
    return rooms.House()


def test_no_rooms_lean_on_each_other(house: rooms.House) -> None:
    assert house.circles == []


@pytest.mark.parametrize("library", ["csm", "watermark"])
def test_libraries_stand_alone(house: rooms.House, library: str) -> None:
    beyond = [
        arrow
        for arrow in house.arrows
        if arrow[0].split("/")[0] == library and arrow[1].split("/")[0] != library
    ]
    assert beyond == []


def test_what_every_room_stands_on_leans_on_no_room(house: rooms.House) -> None:
    ours = {room for room in house.below("narrator_daemon") if room.startswith("narrator_daemon")}
    assert ours <= {"narrator_daemon/__init__"}


def build(root: Path, **modules: str) -> rooms.House:
    for name, text in modules.items():
        path = root / "csm" / (name.replace("_in_", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return rooms.House(root)


def test_a_circle_is_found_wherever_the_import_stands(tmp_path: Path) -> None:
    house = build(
        tmp_path,
        a_in_one="from csm.b.two import x",
        b_in_two="def f():\n    from csm.a import one",
        c_in_three="import csm.a.one",
    )
    assert house.circles == [["csm/a", "csm/b"]]
    assert house.arrows[("csm/b", "csm/a")] == [("csm.b.two", "csm.a.one")]
    assert house.floors == {}


def test_types_alone_are_no_arrow_and_floors_are_counted_from_below(tmp_path: Path) -> None:
    house = build(
        tmp_path,
        a_in_one="import json",
        b_in_two="from csm.a.one import x",
        c_in_three="from csm.b import two\nif TYPE_CHECKING:\n    from csm.d.four import y",
        d_in_four="from csm.c.three import z\nfrom csm.a.one import x",
    )
    assert house.circles == []
    assert house.floors == {"csm/a": 1, "csm/b": 2, "csm/c": 3, "csm/d": 4}
