"""The word `init`: writes the commented config.yaml that comes with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from monitor.commands.options import fail


@click.command()
@click.argument("file", default="config.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def command(file: Path, *, force: bool) -> None:
    """Write a commented config.yaml."""
    text = files("monitor").joinpath("config.example.yaml").read_text(encoding="utf-8")
    try:
        with file.open("w" if force else "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        fail(f"wanted a new file, found {file} already there. Next: name another, or use --force")
    except OSError as error:
        fail(f"wanted to write {file}, found: {(error.strerror or 'an error').lower()}. Next: name another place")
    click.echo(f"{file} written. Next: set the variables it names, then `upstash-monitor config check`")
