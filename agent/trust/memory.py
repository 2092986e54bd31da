"""What a box must remember so that nothing old is taken again: the highest release of each bundle, and the newest root file. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from agent.errors import UNREADABLE, BundleError
from agent.infer.manifest import Manifest
from agent.trust.root import Chain, read_chain

FILE = "trust.json"  # in the agent's state folder
MAX_BYTES = 4 * 1024 * 1024
_SCHEMA = "stethos/trust/1"
_MOST_NAMES = 4_096


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`counters` holds the highest release that has run, by the bundle's name; `root` the newest root file that was taken."""

    schema: str = _SCHEMA
    counters: dict[str, int] = {}
    root: str | None = None

    def highest(self, name: str) -> int:
        """The highest release of `name` that has run, 0 for none."""
        return self.counters.get(name, 0)

    def chain(self) -> Chain | None:
        """The newest root file, verified anew; raises BundleError where it is not what was once taken."""
        return None if self.root is None else read_chain(self.root.encode(errors="replace"))

    def ran(self, manifest: Manifest) -> Memory:
        """With the release of `manifest`, which has proved itself; raises BundleError where there are too many names to remember."""
        return self._with(manifest.name, max(self.highest(manifest.name), manifest.counter))

    def returned(self, manifest: Manifest) -> Memory:
        """With the older release that somebody went back to on purpose; what is older still stays refused."""
        return self._with(manifest.name, manifest.counter)

    def forgotten(self, name: str) -> Memory:
        """With no release of `name`, as somebody wanted who goes back to an older file."""
        return msgspec.structs.replace(
            self, counters={known: each for known, each in self.counters.items() if known != name}
        )

    def rotated(self, chain: Chain) -> Memory:
        """With another root file, which `agent.trust.root.advance` has let pass."""
        return msgspec.structs.replace(self, root=chain.data.decode())

    def _with(self, name: str, counter: int) -> Memory:
        counters = {**self.counters, name: counter}
        if len(counters) > _MOST_NAMES:
            raise BundleError(f"this box has run bundles of {_MOST_NAMES} names and remembers no more")
        return msgspec.structs.replace(self, counters=counters)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    trust: msgspec.Raw
    sha256: str


def encode(memory: Memory) -> bytes:
    """The bytes of its file, with a hash that shows damage; it is no signature."""
    body = msgspec.json.encode(memory)
    return msgspec.json.encode(_File(msgspec.Raw(body), hashlib.sha256(body).hexdigest()))


def decode(data: bytes) -> Memory:
    """Read a file's bytes; raises BundleError where they are not as they were written: what was refused before might then be taken."""
    try:
        file = msgspec.json.decode(data, type=_File)
        if hashlib.sha256(file.trust).hexdigest() != file.sha256:
            raise unusable("its bytes do not give its hash")
        memory = msgspec.json.decode(file.trust, type=Memory)
    except UNREADABLE as error:
        raise unusable(str(error)) from error
    if memory.schema != _SCHEMA:
        raise unusable(f"it is {memory.schema[:64]}, this agent reads {_SCHEMA}")
    if problem := _problem(memory.counters):
        raise unusable(problem)
    memory.chain()
    return memory


def _problem(counters: Mapping[str, int]) -> str | None:
    if len(counters) > _MOST_NAMES:
        return f"it holds {len(counters)} names, more than {_MOST_NAMES}"
    return "a counter in it is not positive" if any(counter < 1 for counter in counters.values()) else None


def unusable(why: str) -> BundleError:
    """The error of a file that cannot be read, or is not as it was written."""
    return BundleError(
        f"what this box remembers of releases and roots cannot be used: {why}; "
        f"restore {FILE} in the state folder, or remove it to begin anew, with older releases taken again"
    )
