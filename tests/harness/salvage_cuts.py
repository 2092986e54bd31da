"""Cut the salvage of a damaged outbox short at each of its writes in turn: `python -m tests.harness.salvage_cuts FOLDER kill|power`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec

from agent.decide.journal import entry, verify
from agent.outbox.history import journal_of
from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox
from tests.harness.power_cut import KILL, POWER_CUT, cut_at

PAGE = 4096


def damaged_outbox(folder: Path) -> None:
    """As a killed agent and then a bad sector leave it: some of it in the log, a page of messages unreadable."""
    folder.mkdir()
    path = folder / "whole.db"
    outbox = open_outbox(path, 10_000_000)
    for number in range(40):
        messages = [a_message(f"{number}/{part}", Kind(part % 2 * 2), 800) for part in range(3)]
        outbox.commit(messages, {"number": b"%d" % number}, journal=[entry("note", {"n": number})])
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", folder / f"outbox.db{suffix}")
    outbox.close()
    with (folder / "outbox.db").open("r+b") as file:
        file.seek(12 * PAGE)
        file.write(bytes(range(256)) * (PAGE // 256))
    for left in folder.glob("whole.db*"):
        left.unlink()


def reopened(path: Path) -> tuple[list[str], dict[str, bytes]]:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit([a_message("later")])
    found = [row.message.key for row in outbox.next_rows(1000)], outbox.load_state()
    outbox.close()
    return found


def cut_everywhere(folder: Path, mode: int) -> dict[str, int]:
    """How many changes the salvage makes, how many messages it saves, and after how many cuts something else was there."""
    damaged_outbox(folder / "damaged")
    work = folder / "work"
    shutil.copytree(folder / "damaged", work)
    uncut = reopened(work / "outbox.db")
    call, strange, ended = 0, 0, False
    while not ended:
        call += 1
        shutil.rmtree(work)
        shutil.copytree(folder / "damaged", work)
        path = work / "outbox.db"
        ended = cut_at(call, mode, call, lambda _: open_outbox(path, 10_000_000).close())[-1] == "end"  # noqa: B023 - run at once
        strange += reopened(path) != uncut
        strange += len(list(work.glob("outbox.db.replacement*"))) + len(list(work.glob("*.damaged-*[0-9]"))) - 1
        with journal_of(path) as journal:
            strange += verify(journal.page(0, 1000), journal.anchor()).broken is not None
    return {"changes": call - 1, "saved": len(uncut[0]) - 1, "strange": strange}


if __name__ == "__main__":
    place, how = sys.argv[1:]
    print(msgspec.json.encode(cut_everywhere(Path(place), {"kill": KILL, "power": POWER_CUT}[how])).decode())
