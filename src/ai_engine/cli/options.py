"""The options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="The data directory.")]
EnvOption = Annotated[
    str | None, typer.Option("--env", help="Overlay to lay on it: dev, test or prod.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
GroupReadOption = Annotated[
    bool,
    typer.Option(
        "--allow-group-read",
        help="Take a configuration that its group may read (Kubernetes with fsGroup).",
    ),
]
