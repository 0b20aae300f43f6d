"""The command `backup`: a whole copy of the history file, made while others write to it."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import config_option, fail, fail_to_write, load_settings
from monitor.store.errors import RefusedFileError
from monitor.store.read_only import TargetExistsError, back_up


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@click.pass_context
def command(context: click.Context, file: Path) -> None:
    """Copy the history to FILE, which must not be there yet; `run` may go on meanwhile."""
    source = Path(load_settings(context).history.path)
    try:
        size = back_up(source, file)
    except TargetExistsError:
        fail(f"wanted a new file, found {file} already there. Next: name another; nothing is overwritten")
    except RefusedFileError as error:
        fail(str(error))
    except OSError as error:
        fail_to_write(file, error)
    click.echo(f"{file} written ({size / 2**20:.1f} MB)")
