"""Commit one alarm after the other, each again until it is stored: `python -m tests.harness.outbox_commits PATH COUNT` prints what happened."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.errors import OutboxError
from tests.harness.outbox import a_message, open_outbox

MOST_TRIES = 20


def commit_until_stored(path: Path, count: int) -> None:
    outbox = open_outbox(path)
    print(f"opened, recovered: {outbox.recovered}")
    for number in range(count):
        for _ in range(MOST_TRIES):
            try:
                outbox.commit([a_message(f"a{number}")], {"number": b"%d" % number})
            except OutboxError as error:
                print(f"failed {number}: {error}")
            else:
                print(f"stored {number}")
                break
    print(f"balance {outbox.balance().as_dict()}")
    outbox.close()


if __name__ == "__main__":
    commit_until_stored(Path(sys.argv[1]), int(sys.argv[2]))
