"""The responses as they are configured: what each does, and the thread that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.clock import Clock
from agent.config.checked import Checked, CheckedResponse
from agent.decide.responses import Interlocks
from agent.respond.actions import Action, Publish, Tell
from agent.respond.program import Program
from agent.respond.responder import Doing, Responder
from agent.sources.link import Source
from agent.sources.serial_port import SerialSource
from agent.types import Commit
from agent.upstream.compose import Composer
from agent.upstream.link import Link


def responder_of(
    checked: Checked,
    *,
    source_of: Mapping[str, Source],
    link: Link,
    submit: Callable[[Commit, float], None],
    composer: Composer,
    clock: Clock,
) -> Responder | None:
    """None where nothing responds to alarms; `submit` hands a commit to the outbox."""
    if not checked.responses:
        return None
    return Responder(
        Interlocks([response.rules for response in checked.responses]),
        {each.rules.id: Doing(_action(each, checked, source_of, link), each.timeout_s) for each in checked.responses},
        submit,
        composer.alarm_alone,
        clock,
    )


def _action(response: CheckedResponse, checked: Checked, source_of: Mapping[str, Source], link: Link) -> Action:
    """What it does; the check has seen to it that it is exactly one thing, and that there is all it takes."""
    config = response.config
    if config.mqtt is not None:
        return Publish(link, config.mqtt.topic, config.mqtt.payload)
    if config.serial is not None:
        source, device = source_of[config.serial.device], checked.devices[config.serial.device]
        assert isinstance(source, SerialSource), "only profiles of serial devices have commands"
        command = device.profile.command[config.serial.command]
        return Tell(source.teller, device.id, config.serial.command, command)
    assert config.program is not None
    assert response.folder is not None
    return Program(response.folder, config.program.file, tuple(config.program.arguments))
