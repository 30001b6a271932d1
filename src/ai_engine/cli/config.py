"""`ai-engine config`: check the configuration, show it with its sources, print its schema."""

import json
import sys

import typer

from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, GroupReadOption, JsonOption
from ai_engine.cli.output import Exit, count, failing, print_json, say, show_problems
from ai_engine.cli.reach import configuration

app = typer.Typer(help="Check the configuration and show it.", no_args_is_help=True)


@app.command()
@failing
def check(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    allow_group_read: GroupReadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say everything that is wrong with the configuration; 0 with warnings, 2 with errors."""
    from ai_engine.cli.settings import load_options
    from ai_engine.config.explain import as_data
    from ai_engine.config.load import attempt

    path = configuration(config, data)
    options = load_options(env=env, allow_group_read=allow_group_read)
    tried = attempt(path, **options)
    problems = tried.problems
    if tried.loaded is not None:
        problems = tried.loaded.warnings
    is_valid = tried.loaded is not None
    if as_json:
        files = [str(path) for path in tried.files]
        problems_data = as_data(problems)
        print_json({"valid": is_valid, "files": files, "problems": problems_data})
    else:
        show_problems(problems)
        verdict = "is valid" if is_valid else "is not valid"
        say(f"{path} {verdict}: {count(problems)}.", style="bold")
    if not is_valid:
        raise typer.Exit(Exit.INVALID)


@app.command()
@failing
def show(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    allow_group_read: GroupReadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print every value in force and where it came from; secrets are masked."""
    from ai_engine.cli.settings import load_config
    from ai_engine.config.explain import masked
    from ai_engine.config.faults import json_path, leaves

    loaded = load_config(configuration(config, data), env=env, allow_group_read=allow_group_read)
    values = masked(loaded.config)
    if as_json:
        print_json({"config": values, "origins": dict(loaded.origins)})
        return
    show_problems(loaded.warnings)
    for loc, value in leaves(values):
        path = json_path(loc)
        shown = json.dumps(value, ensure_ascii=False)
        say(f"{path} = {shown}", note=loaded.origins.get(path, ""))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and checks before deployment."""
    from ai_engine.config.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n")
