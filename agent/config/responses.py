"""Check what alarms may do by themselves: points and devices that exist, a topic of somebody else's, a program that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from agent.config.checked import CheckedDevice, CheckedMachine, CheckedResponse
from agent.config.connections import check_filter
from agent.config.findings import Findings
from agent.config.programs import trusted_program
from agent.config.rights import UntrustedError
from agent.config.schema import Config, ProgramResponse, Response, SerialResponse
from agent.decide.alarm import MODEL
from agent.decide.responses import ResponseRules
from agent.toml_structs import KeyPath, nearest
from agent.types import NANOSECONDS

_MOST_RESPONSES = 50
_KINDS = ("mqtt", "serial", "program")


def check_responses(
    config: Config,
    devices: Mapping[str, CheckedDevice | None],
    machines: Mapping[str, CheckedMachine],
    findings: Findings,
) -> tuple[CheckedResponse, ...]:
    """Every machine's responses; incomplete where there are problems."""
    checker = _Checker(config, devices, findings)
    found = []
    for index, machine in enumerate(config.machine):
        at: KeyPath = ("machine", index, "response")
        if len(machine.response) > _MOST_RESPONSES:
            findings.problem(at, f"{len(machine.response)} responses are too many, {_MOST_RESPONSES} is the most")
        names = [response.name for response in machine.response]
        for number, response in enumerate(machine.response):
            if response.name in names[:number]:
                findings.problem((*at, number, "name"), f"the response '{response.name}' is named twice")
            checked = checker.check((*at, number), response, machine.id, machines.get(machine.id))
            found += [] if checked is None else [checked]
    return tuple(found)


class _Checker:
    def __init__(self, config: Config, devices: Mapping[str, CheckedDevice | None], findings: Findings) -> None:
        self._own_topics = f"{config.upstream.base}/{config.agent.id}/"
        folder = config.responses.programs
        self._folder = None if folder is None else findings.beside / folder
        self._devices = devices
        self._findings = findings

    def check(
        self, at: KeyPath, response: Response, machine: str, checked: CheckedMachine | None
    ) -> CheckedResponse | None:
        findings = self._findings
        findings.identifier((*at, "name"), response.name)
        rules = ResponseRules(
            machine=machine,
            name=response.name,
            on=response.on,
            points=tuple(response.points),
            least=response.least,
            armed=response.armed,
            dry_run=response.dry_run,
            confirm_ns=findings.duration_ns((*at, "confirm"), response.confirm, "0s", "1d"),
            min_interval_ns=findings.duration_ns((*at, "min_interval"), response.min_interval, "1s", "30d"),
        )
        timeout_ns = findings.duration_ns((*at, "timeout"), response.timeout, "100ms", "60s")
        if checked is not None:
            self._check_points((*at, "points"), response.points, [MODEL, *(rule.point for rule in checked.rules)])
        if not response.armed:
            findings.warn((*at, "armed"), f"the response '{response.name}' is not armed and does nothing")
        used = [kind for kind in _KINDS if getattr(response, kind) is not None]
        if len(used) != 1:
            findings.problem(
                at, f"the response '{response.name}' has {len(used)} things to do", "set one of mqtt, serial, program"
            )
            return None
        self._check_action(at, response)
        return CheckedResponse(rules=rules, config=response, timeout_s=timeout_ns / NANOSECONDS, folder=self._folder)

    def _check_points(self, at: KeyPath, patterns: list[str], points: list[str]) -> None:
        for index, pattern in enumerate(patterns):
            if not any(fnmatchcase(point, pattern) for point in points):
                self._findings.problem((*at, index), f"there is no alarm point '{pattern}'", nearest(pattern, points))

    def _check_action(self, at: KeyPath, response: Response) -> None:
        if response.mqtt is not None:
            self._check_topic((*at, "mqtt", "topic"), response.mqtt.topic)
        if response.serial is not None:
            self._check_command((*at, "serial"), response.serial)
        if response.program is not None:
            self._check_program((*at, "program"), response.program)

    def _check_topic(self, at: KeyPath, topic: str) -> None:
        check_filter(at, topic, self._findings)
        if "+" in topic or "#" in topic or topic.startswith("$"):
            self._findings.problem(
                at, f"'{topic}' is no topic that can be published on", "leave out + and #, and $ at the start"
            )
        if topic.startswith(self._own_topics):
            self._findings.problem(at, f"'{topic}' is this agent's own", "what it says there is written down elsewhere")

    def _check_command(self, at: KeyPath, serial: SerialResponse) -> None:
        if serial.device not in self._devices:
            what = f"there is no device '{serial.device}'"
            self._findings.problem((*at, "device"), what, nearest(serial.device, self._devices))
            return
        device = self._devices[serial.device]
        if device is None:
            return
        if serial.command not in device.profile.command:
            what = f"the profile '{device.config.profile}' has no command '{serial.command}'"
            self._findings.problem((*at, "command"), what, nearest(serial.command, device.profile.command))

    def _check_program(self, at: KeyPath, program: ProgramResponse) -> None:
        if self._folder is None:
            remedy = 'name the folder that programs may be started from: [responses] programs = "/etc/stethos/programs"'
            self._findings.problem(at, "no program may be started", remedy)
            return
        try:
            trusted_program(self._folder, program.file)
        except UntrustedError as error:
            self._findings.problem((*at, "file"), str(error))
