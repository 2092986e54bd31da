"""The engine cache held against a plain dictionary, whatever is built, damaged, refused, and cut short in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.infer.engine_cache import EngineCache
from agent.infer.engine_key import EngineKey
from tests.harness.engines import engine_key

MAX_ENGINES, MAX_BYTES = 3, 10_000
MODELS = st.sampled_from(["0" * 64, "1" * 64, "2" * 64, "3" * 64, "4" * 64])
DRIVERS = st.sampled_from(["580.1", "590.2"])


class CacheMachine(RuleBasedStateMachine):
    """`built` is what may be found, no more than was put there and never what was harmed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="engines-"))
        self.cache = self._opened()
        self.built: dict[EngineKey, bytes] = {}
        self.refused: dict[EngineKey, str] = {}

    def _opened(self) -> EngineCache:
        return EngineCache(self.folder, max_engines=MAX_ENGINES, max_bytes=MAX_BYTES)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(model=MODELS, driver=DRIVERS, data=st.binary(min_size=1, max_size=4000))
    def build(self, model: str, driver: str, data: bytes) -> None:
        key = engine_key(model_sha256=model, driver=driver)
        with self.cache.begin() as folder:
            (folder / "engine.rtx").write_bytes(data)
            self.cache.adopt(key, folder)
        for table in (self.built, self.refused):
            for other in [other for other in table if key.replaces(other)]:
                del table[other]
        self.refused.pop(key, None)
        self.built[key] = data
        found = self.cache.find(key)
        assert found is not None, "the newest is always kept"
        assert (found / "engine.rtx").read_bytes() == data

    @rule(model=MODELS, driver=DRIVERS, why=st.text(max_size=50))
    def refuse(self, model: str, driver: str, why: str) -> None:
        key = engine_key(model_sha256=model, driver=driver)
        self.cache.refuse(key, why)
        for table in (self.built, self.refused):
            for other in [other for other in table if key.replaces(other)]:
                del table[other]
        self.built.pop(key, None)
        self.refused[key] = why
        assert self.cache.refusal(key) == why

    @rule(model=MODELS, driver=DRIVERS, at=st.integers(0, 10_000), entry=st.booleans())
    def flip_a_byte(self, model: str, driver: str, at: int, entry: bool) -> None:
        key = engine_key(model_sha256=model, driver=driver)
        path = self.folder / key.name / ("entry.json" if entry else "engine.rtx")
        if not path.exists():
            return
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= 0x20
        path.write_bytes(data)
        if entry and path.parent.joinpath("engine.rtx").exists():
            self.built.pop(key, None) if self.cache.find(key) is None else None
        elif entry:
            self.refused.pop(key, None)
            shutil.rmtree(path.parent)
        else:
            assert self.cache.find(key) is None
            self.built.pop(key, None)

    @rule()
    def cut_the_power_and_start(self) -> None:
        with self.cache.begin() as folder:
            (folder / "engine.rtx").write_bytes(b"half")
            shutil.copytree(folder, self.folder / ".building-lost", dirs_exist_ok=True)
        self.cache = self._opened()
        self.cache.clear_unfinished()

    @invariant()
    def nothing_but_what_was_built_is_found(self) -> None:
        looking = self._opened()
        for key in [key for key in self.built if not (self.folder / key.name).exists()]:
            del self.built[key]  # it had to make room
        for key, data in self.built.items():
            found = looking.find(key)
            assert found is not None
            assert (found / "engine.rtx").read_bytes() == data

    @invariant()
    def the_bounds_hold(self) -> None:
        folders = [path for path in self.folder.iterdir() if not path.name.startswith(".building-")]
        assert len(folders) <= MAX_ENGINES
        assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= MAX_BYTES


CacheMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None, derandomize=True)
TestEngineCache = CacheMachine.TestCase
