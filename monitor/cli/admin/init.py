"""The command `init`: writes the commented config.yaml that comes with the package."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import click

from monitor.cli.options import config_option, fail, fail_to_write


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@config_option
@click.pass_context
def command(context: click.Context, file: Path | None, *, force: bool) -> None:
    """Write a commented config.yaml, or the FILE that is named."""
    target = file or Path(context.find_root().obj or "config.yaml")
    text = files("monitor").joinpath("config.example.yaml").read_text(encoding="utf-8")
    done = "written"
    try:
        if not force and _holds(target, text):  # a clone of the project has it
            done = "is already as `init` writes it"
        else:
            with target.open("w" if force else "x", encoding="utf-8") as opened:
                opened.write(text)
    except FileExistsError:
        fail(f"wanted a new file, found {target} already there. Next: name another, or use --force")
    except OSError as error:
        fail_to_write(target, error)
    option = "" if target == Path("config.yaml") else f" --config {target}"
    click.echo(f"{target} {done}. Next: set the variables it names, then `upstash-monitor config check{option}`")


def _holds(file: Path, text: str) -> bool:
    with suppress(OSError, ValueError):
        return file.read_text(encoding="utf-8") == text
    return False
