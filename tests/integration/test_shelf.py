"""The book of configurations is found again by a broken file, belongs to one file alone, and outlives a power cut in one piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.bundles.sealed import seal
from agent.bundles.twice import COPY, DAMAGED
from agent.config.known_good import Book, Contents
from agent.config.shelf import FILE, Shelf, find_shelf
from agent.config.starting import started
from agent.errors import BundleError, ConfigError
from tests.harness.agent_folder import AgentFolder

GOOD = Contents(text="good")
Damage = Callable[[bytes], bytes] | None


def newer(data: bytes) -> bytes:
    return data.replace(b"stethos/configurations/1", b"stethos/configurations/2")


DAMAGES: dict[str, Damage] = {
    "torn": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "no JSON": lambda data: bytes(len(data)),
    "not UTF-8": lambda data: data.replace(b"good", b"g\xff\xfed"),
    "one bit": lambda data: data.replace(b'"text":"good"', b'"text":"gnod"'),
    "another schema": newer,
    "a folder": None,
}


def shelf_of(config: Path, state: Path) -> Shelf:
    shelf = Shelf(config, state)
    shelf.write(Book(path=str(config.resolve()), good=GOOD))
    return shelf


@pytest.mark.parametrize(
    "text",
    [
        '[agent]\nid = "a"\nstate = "state"\n',
        '[agent]\nid = "a"\nstate = "state"\n[[device]\n',
        '[agent]\nstate = "state"\n' + "x = 1\n" * 50 + "y = [\n",
        "[agent]\nstate = 7\n",
        "",
        "\0",
    ],
)
def test_the_book_is_found_by_what_the_file_says_or_by_what_systemd_says(tmp_path: Path, text: str) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(text)
    shelf_of(config, tmp_path / "state")
    found = find_shelf(config, {"STATE_DIRECTORY": str(tmp_path / "state")})
    assert found is not None
    assert found.read().good == GOOD
    if 'state = "state"' in text:
        assert find_shelf(config, {}) is not None


def test_a_file_that_is_gone_still_has_its_book(tmp_path: Path) -> None:
    shelf_of(tmp_path / "agent.toml", tmp_path / "state")
    assert find_shelf(tmp_path / "agent.toml", {"STATE_DIRECTORY": str(tmp_path / "state")}) is not None


def test_the_book_of_another_file_is_none_of_this_ones(tmp_path: Path) -> None:
    shelf_of(tmp_path / "agent.toml", tmp_path / "state")
    other = tmp_path / "other.toml"
    other.write_text('[agent]\nid = "b"\nstate = "state"\n')
    assert find_shelf(other, {}) is None
    assert Shelf(other, tmp_path / "state").read().good is None


def test_a_book_damaged_with_its_copy_is_an_error_for_who_reads_it_and_no_book_for_who_looks(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nid = "a"\nstate = "state"\n')
    shelf = shelf_of(config, tmp_path / "state")
    for name in (FILE, FILE + COPY):
        (tmp_path / "state" / name).write_text("{")
    with pytest.raises(BundleError, match="remove it"):
        shelf.read()
    assert find_shelf(config, {}) is None


def test_it_is_private(tmp_path: Path) -> None:
    shelf_of(tmp_path / "agent.toml", tmp_path / "state")
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600


def test_a_profile_that_was_spoilt_since_is_replaced_by_the_one_that_was_kept(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    with started(folder.config, strict=False) as first:
        assert (first.kind, first.refused) == ("file", ())
        assert set(first.contents.profiles) == {"accel-cobs", "drive-json"}
        first.shelf.write(Book(path=str(folder.config.resolve()), good=first.contents))
        rate_hz = first.checked.devices["accel"].profile.rate_hz
    folder.profile("accel-cobs", "broken = ")
    with pytest.raises(ConfigError, match="accel-cobs"), started(folder.config, strict=True):
        pass
    with started(folder.config, strict=False) as second:
        assert second.kind == "good"
        assert "accel-cobs" in str(second.refused[0])
        assert second.checked.devices["accel"].profile.rate_hz == rate_hz
        assert second.contents == first.contents
        assert second.checked.path == folder.config
    assert [each.event for each in Shelf(folder.config, tmp_path / "state").read().untold] == ["config_refused"]


def test_a_book_that_cannot_be_written_begins_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.config.known_good import applied, staged

    folder = AgentFolder(tmp_path)
    book = staged(Book(path=str(folder.config.resolve())), GOOD, folder.text, "Meier")
    Shelf(folder.config, tmp_path / "state").write(applied(book, folder.text, 60))

    def full(_self, _book):
        raise BundleError("no space left on device")

    monkeypatch.setattr(Shelf, "write", full)
    with started(folder.config, strict=False) as what:
        assert what.kind == "file"


def spoil(path: Path, damage: Damage) -> None:
    """Do this to the bytes of a file; None puts a folder in its place."""
    data = path.read_bytes()
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage(data))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_book_is_set_aside_and_its_copy_goes_on(tmp_path: Path, damage: Damage) -> None:
    folder = AgentFolder(tmp_path)
    shelf, file = shelf_of(folder.config, tmp_path / "state"), tmp_path / "state" / FILE
    sound = file.read_bytes()
    spoil(file, damage)
    with started(folder.config, strict=False) as what:
        assert (what.kind, what.refused) == ("file", ())
        assert what.store.damaged() == [FILE]
    assert shelf.read().good == GOOD
    assert file.read_bytes() == sound
    assert (tmp_path / "state" / f"{FILE}{DAMAGED}").exists()
    with started(folder.config, strict=False) as again:
        assert again.store.damaged() == [FILE], "until somebody has looked"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_where_the_copy_is_damaged_too_the_operators_file_runs_and_that_is_told(tmp_path: Path, damage: Damage) -> None:
    folder = AgentFolder(tmp_path)
    shelf = shelf_of(folder.config, tmp_path / "state")
    spoil(tmp_path / "state" / FILE, damage)
    spoil(tmp_path / "state" / f"{FILE}{COPY}", lambda data: data[:20])
    with started(folder.config, strict=False) as what:
        assert (what.kind, what.refused) == ("file", ())
        assert what.store.damaged() == [FILE]
    book = shelf.read()
    assert (book.good, book.trial, book.remote) == (None, None, None)
    assert [(each.event, "is damaged" in each.what) for each in book.untold] == [("config_reverted", True)]


def test_a_newer_stethos_book_is_not_taken_for_its_parts(tmp_path: Path) -> None:
    """Its seal holds; what it means is not known here."""
    folder = AgentFolder(tmp_path)
    shelf, file = shelf_of(folder.config, tmp_path / "state"), tmp_path / "state" / FILE
    body = newer(msgspec.json.encode(shelf.read()))
    for name in (FILE, FILE + COPY):
        (tmp_path / "state" / name).write_bytes(seal(msgspec.Raw(body)))
    sealed = file.read_bytes()
    with started(folder.config, strict=False) as what:
        assert what.kind == "file"
    assert shelf.read().good is None
    assert (tmp_path / "state" / f"{FILE}{DAMAGED}").read_bytes() == sealed, "that one may go back to it"


def test_a_book_of_an_older_stethos_has_no_seal_and_is_taken_as_it_is(tmp_path: Path) -> None:
    shelf = shelf_of(tmp_path / "agent.toml", tmp_path / "state")
    older = msgspec.json.encode(shelf.read()).replace(b'"schema":"stethos/configurations/1",', b"")
    for name in (FILE, FILE + COPY):
        (tmp_path / "state" / name).write_bytes(older)
    shelf.mend()
    assert shelf.read().good == GOOD
