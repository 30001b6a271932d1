"""The options of `ai-engine init`."""

from pathlib import Path
from typing import Annotated

import typer

_PRIVATE = "Never give a secret itself as an argument: others on this machine could read it."

Channel = Annotated[
    str,
    typer.Option(
        help="dingtalk, wecom, wecom_aibot, feishu, slack, teams, telegram, mattermost, "
        "matrix, email, webhook or webchat."
    ),
]
AppId = Annotated[
    str,
    typer.Option(help="The app's id: DingTalk's Client ID, Feishu's App ID, WeCom's CorpID…"),
]
AppSecretEnv = Annotated[
    str, typer.Option(help=f"Environment variable with the channel's secret. {_PRIVATE}")
]
AppSecretFile = Annotated[Path | None, typer.Option(help="File with the channel's secret.")]
AppSecretStdin = Annotated[
    bool,
    typer.Option("--app-secret-stdin", help="Read the channel's secret from standard input."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the channel's auth, such as agent_id=1000002, or endpoints.api=URL; "
        "no secrets.",
    ),
]
SecretEnv = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VARIABLE",
        help="Environment variable with a secret of the channel's auth, such as aes_key=KEY.",
    ),
]
SecretFile = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="File with a secret of the channel's auth."),
]
Mode = Annotated[
    str,
    typer.Option(
        help="How messages come in: stream or poll (no public address is needed), or webhook "
        "(the platform calls a public HTTPS address). Default: stream or poll where there is "
        "one."
    ),
]
CallbackUrl = Annotated[str | None, typer.Option(help="webhook: where answers are posted to.")]
ModelUrl = Annotated[
    str | None, typer.Option(help="OpenAI-compatible model server, ending in /v1.")
]
ModelName = Annotated[str, typer.Option(help="The model's name there.")]
ModelKeyEnv = Annotated[
    str, typer.Option(help="Environment variable with the model server's API key.")
]
ModelKeyFile = Annotated[Path | None, typer.Option(help="File with the model server's API key.")]
Lang = Annotated[str | None, typer.Option(help="zh or en; as LANG says when absent.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Output = Annotated[Path, typer.Option(help="Where to write.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
