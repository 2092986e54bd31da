"""The program `stethos`: one word a command, each imported only when it is the one invoked."""

from __future__ import annotations

import importlib
import importlib.metadata

import click

from agent import __version__
from agent.errors import ConfigError, StethosError

# name: where the command lies, and its line in --help, which must not cost the import
_COMMANDS = {
    "run": ("agent.cli.run:run", "Run the agent: read devices, run models, send alarms."),
    "init": ("agent.cli.init:init", "Write a first configuration from a few questions, or from options."),
    "check": ("agent.cli.check:check", "Say everything that is wrong with a configuration, or what it will run."),
    "doctor": ("agent.cli.doctor:doctor", "Examine this box: ports and rights, brokers, accelerators, disk."),
    "alarms": ("agent.cli.alarms:alarms", "List, acknowledge, shelve alarms; read and verify their audit journal."),
    "outbox": ("agent.cli.outbox:outbox", "See, examine, export what waits for the broker, and put it back."),
    "ports": ("agent.cli.ports:ports", "List the serial ports, or find out what speaks on one."),
    "profile": ("agent.cli.profile:profile", "Show and check firmware profiles, begin one, write its C header."),
    "bundle": ("agent.cli.bundle:bundle", "Sign, verify, install, exchange and go back from signed models."),
    "record": ("agent.cli.record:record", "Record what devices send, before there is a model."),
    "replay": (
        "agent.cli.replay:replay",
        "Send a recording through the pipeline, and compare configurations or models.",
    ),
    "commission": (
        "agent.cli.commission:commission",
        "Learn a machine on its own box: offsets and calibration, without training.",
    ),
    "simulate": ("agent.cli.simulate:simulate", "Behave as a device would, with faults on a schedule."),
    "demo": ("agent.cli.demo:demo", "Train, ship and run a model on real plant data, in two minutes."),
}
_PLUGINS = "stethos.commands"
# what to install for a module that only some installations need
_REMEDIES = {
    "onnxruntime": "stethos[cpu] or stethos[gpu]",
    "iotcore": "stethos[demo]",
    **dict.fromkeys(("torch", "onnx", "onnxscript", "optuna", "pyarrow", "scipy", "sklearn"), "stethos[train]"),
}

_EPILOG = 'Shell completion: eval "$(_STETHOS_COMPLETE=bash_source stethos)", or zsh_source, fish_source.'


class LazyGroup(click.Group):
    """Commands by name, from the table above and from the entry points of other packages; errors by whose fault they are."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*_COMMANDS, *sorted(_plugins().names)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        command: click.Command | None = None
        if cmd_name in _COMMANDS:
            module, attribute = _COMMANDS[cmd_name][0].split(":")
            command = getattr(importlib.import_module(module), attribute)
        elif cmd_name in (plugins := _plugins()).names:
            command = plugins[cmd_name].load()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        rows = [(name, line) for name, (_, line) in _COMMANDS.items()]
        rows += [(plugin.name, f"Commands of the package {plugin.module.split('.')[0]}.") for plugin in _plugins()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Exit codes: 0 fine, 1 the work failed, 2 bad usage or configuration, 130 interrupted."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(2)
        except StethosError as error:
            click.echo(f"stethos: {error}", err=True)
            ctx.exit(1)
        except ModuleNotFoundError as error:
            remedy = _REMEDIES.get((error.name or "").split(".")[0])
            if remedy is None:
                raise
            click.echo(f"stethos: '{error.name}' is not installed; install {remedy}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(130)


def _plugins() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=_PLUGINS)


@click.group(cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stethos")
def main() -> None:
    """A stethoscope for machines: sensor bytes in, calibrated alarms on the broker."""


if __name__ == "__main__":
    main()
