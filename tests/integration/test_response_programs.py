"""Real programs started for an alarm: given the alarm, bounded in time and words, refused where anybody else could have put them there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config.programs import trusted_program
from agent.config.rights import UntrustedError
from agent.errors import ResponseError, ResponseTimeoutError
from agent.respond.program import Program

ALARM = b'{"id": "pump-1"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "programs").mkdir(mode=0o755)
    return tmp_path / "programs"


def program(folder: Path, body: str, *arguments: str) -> Program:
    path = folder / "act.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return Program(folder, "act.sh", arguments)


def run(program: Program, timeout_s: float = 30.0, alarm: bytes = ALARM, stop: threading.Event | None = None) -> str:
    return program.run(alarm, timeout_s, SystemClock(), stop or threading.Event())


class TestRunning:
    def test_it_gets_the_alarm_and_says_what_it_did(self, folder: Path) -> None:
        assert run(program(folder, "cat")) == ALARM.decode()

    def test_arguments_go_through_no_shell(self, folder: Path) -> None:
        assert run(program(folder, 'printf "%s|" "$@"', "a b", "$(id)", "; rm -rf x", "*")) == "a b|$(id)|; rm -rf x|*|"

    def test_it_sees_none_of_the_agents_environment(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/secrets")
        assert run(program(folder, 'echo "[$CREDENTIALS_DIRECTORY]"; pwd')) == "[]\n/"

    def test_it_inherits_no_open_file(self, folder: Path) -> None:
        with (folder.parent / "secret").open("w+") as held:
            os.set_inheritable(held.fileno(), True)
            assert str(held.name) not in run(program(folder, "ls -l /proc/self/fd"))

    def test_an_alarm_larger_than_a_pipe_arrives_whole(self, folder: Path) -> None:
        assert run(program(folder, "wc -c"), alarm=b"x" * 300_000) == "300000"

    def test_a_program_that_does_not_read_does_not_hold_us_up(self, folder: Path) -> None:
        assert run(program(folder, "echo fine"), alarm=b"x" * 300_000) == "fine"

    def test_of_much_that_it_says_the_last_is_kept(self, folder: Path) -> None:
        said = run(program(folder, "seq 1 100000"))
        assert len(said) <= 4_096
        assert said.endswith("100000")

    def test_one_that_closes_its_output_is_waited_for(self, folder: Path) -> None:
        assert run(program(folder, "exec >&- 2>&- <&-; sleep 0.3")) == ""


class TestFailing:
    def test_another_code_than_zero_is_a_failure_with_its_words(self, folder: Path) -> None:
        with pytest.raises(ResponseError, match="ended with 3: no pump"):
            run(program(folder, "echo no pump >&2; exit 3"))

    def test_one_that_hangs_is_killed_with_all_that_it_started(self, folder: Path) -> None:
        marker = folder.parent / "alive"
        began = time.monotonic()
        with pytest.raises(ResponseTimeoutError, match="too long"):
            run(program(folder, f"(sleep 2; touch {marker}) & sleep 60"), timeout_s=0.5)
        assert time.monotonic() - began < 5
        time.sleep(2.2)
        assert not marker.exists()

    def test_one_that_ignores_sigterm_is_killed_too(self, folder: Path) -> None:
        with pytest.raises(ResponseTimeoutError):
            run(program(folder, "trap '' TERM INT HUP; while :; do sleep 1; done"), timeout_s=0.3)

    def test_what_it_left_behind_with_its_output_open_does_not_hold_us_up(self, folder: Path) -> None:
        began = time.monotonic()
        assert run(program(folder, "sleep 30 & echo done")) == "done"
        assert time.monotonic() - began < 5

    def test_a_stop_of_the_agent_ends_it(self, folder: Path) -> None:
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(ResponseTimeoutError, match="the agent stops"):
            run(program(folder, "sleep 60"), timeout_s=60, stop=stop)

    def test_one_that_is_missing_or_no_program_is_a_failure(self, folder: Path) -> None:
        with pytest.raises(ResponseError, match="No such file"):
            run(Program(folder, "gone.sh", ()))
        broken = program(folder, "")
        (folder / "act.sh").write_text("#!/no/such/interpreter\n")
        with pytest.raises(ResponseError, match="cannot be started"):
            run(broken)


class TestTrust:
    def test_a_sound_one_is_found(self, folder: Path) -> None:
        program(folder, "")
        assert trusted_program(folder, "act.sh") == folder / "act.sh"

    @pytest.mark.parametrize("name", ["", ".", "..", "../act.sh", "sub/act.sh", "/bin/sh"])
    def test_only_names_within_the_folder_will_do(self, folder: Path, name: str) -> None:
        with pytest.raises(UntrustedError, match="no file's name"):
            trusted_program(folder, name)

    @pytest.mark.parametrize("mode", [0o777, 0o775])
    def test_a_folder_that_others_can_write_to_is_refused(self, folder: Path, mode: int) -> None:
        act = program(folder, "echo hacked")
        folder.chmod(mode)
        with pytest.raises(ResponseError, match="can be written by others"):
            run(act)

    @pytest.mark.parametrize("mode", [0o757, 0o775])
    def test_a_program_that_others_can_write_to_is_refused(self, folder: Path, mode: int) -> None:
        act = program(folder, "echo hacked")
        (folder / "act.sh").chmod(mode)
        with pytest.raises(ResponseError, match="can be written by others"):
            run(act)

    def test_a_folder_above_that_others_can_write_to_is_refused(self, folder: Path) -> None:
        program(folder, "")
        folder.parent.chmod(0o777)
        with pytest.raises(UntrustedError, match=f"{folder.parent} can be written by others"):
            trusted_program(folder, "act.sh")

    def test_a_link_is_refused_wherever_it_leads(self, folder: Path) -> None:
        (folder / "act.sh").symlink_to("/bin/true")
        with pytest.raises(UntrustedError, match="no plain file"):
            trusted_program(folder, "act.sh")

    def test_a_linked_folder_is_refused(self, folder: Path) -> None:
        program(folder, "")
        link = folder.parent / "link"
        link.symlink_to(folder)
        with pytest.raises(UntrustedError):
            trusted_program(link, "act.sh")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_one_that_belongs_to_somebody_else_is_refused(self, folder: Path) -> None:
        program(folder, "")
        os.chown(folder / "act.sh", 65_534, 65_534)
        with pytest.raises(UntrustedError, match="belongs to user 65534"):
            trusted_program(folder, "act.sh")

    def test_one_that_cannot_be_executed_is_refused(self, folder: Path) -> None:
        program(folder, "")
        (folder / "act.sh").chmod(0o644)
        with pytest.raises(UntrustedError, match="cannot be executed"):
            trusted_program(folder, "act.sh")
