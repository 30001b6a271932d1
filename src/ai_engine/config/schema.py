"""The schema of `ai-engine.json`. Every field's description is its documentation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

Language = Literal["zh", "en"]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Auth(Section):
    """A channel's credentials; which of them are needed depends on the channel's type."""

    app_id: str = ""
    """The application's key or client id."""
    app_secret: SecretStr = SecretStr("")
    """The application's secret."""
    secret: SecretStr = SecretStr("")
    """Shared secret of the signed `webhook` channel. WeCom: the app's or the AI bot's Secret.
    DingTalk and Feishu custom robots: the secret of the robot's signature, if it has one."""
    token_expire: Annotated[int, Field(ge=60, le=86_400)] = 7200
    """Upper bound of a cached platform token's life, in seconds."""
    robot_code: str = ""
    """DingTalk: the robot's code, where it differs from `app_id`."""
    card_template_id: str = ""
    """DingTalk: the same as the channel's `card_template_id`."""
    corp_id: str = ""
    """WeCom: the organisation's id."""
    agent_id: str = ""
    """WeCom: the app's AgentId."""
    token: SecretStr = SecretStr("")
    """WeCom and DingTalk events: the callback's Token. Telegram and Mattermost: the bot's token.
    Group robots: the key or access token in the webhook address."""
    aes_key: SecretStr = SecretStr("")
    """WeCom and DingTalk events: EncodingAESKey, 43 characters."""
    bot_id: str = ""
    """WeCom aibot: the robot's id."""
    encrypt_key: SecretStr = SecretStr("")
    """Feishu: Encrypt Key; when it is set, events must be encrypted and signed."""
    verification_token: SecretStr = SecretStr("")
    """Feishu: Verification Token."""
    bot_token: SecretStr = SecretStr("")
    """Slack: the bot user's token (`xoxb-…`)."""
    signing_secret: SecretStr = SecretStr("")
    """Slack: the app's Signing Secret."""
    app_token: SecretStr = SecretStr("")
    """Slack: the app-level token of Socket Mode (`xapp-…`)."""
    tenant: str = ""
    """Teams: the directory (tenant) id; empty for a multi-tenant bot."""
    secret_token: SecretStr = SecretStr("")
    """Telegram: the secret that setWebhook was given."""
    webhook_token: SecretStr = SecretStr("")
    """Mattermost: the token of the outgoing webhook or slash command that calls; several are
    separated by commas."""
    url: str = ""
    """Mattermost: the server's base URL."""
    homeserver: str = ""
    """Matrix: the homeserver's base URL."""
    user: str = ""
    """Matrix: the bot's full id (`@bot:example.org`). E-mail: the mailbox's login."""
    access_token: SecretStr = SecretStr("")
    """Matrix: the bot's access token."""
    password: SecretStr = SecretStr("")
    """E-mail: the mailbox's password."""
    imap: str = ""
    """E-mail: the IMAP server as `imaps://host:993`, `imap+starttls://host:143`."""
    smtp: str = ""
    """E-mail: the SMTP server as `smtps://host:465`, `smtp+starttls://host:587`."""
    allow_senders: tuple[str, ...] = ()
    """E-mail: who is answered: addresses, or domains as `@example.org`. Empty: nobody."""

    def plain(self, name: str) -> str:
        """A field's text, secrets included; empty when it is not set."""
        found = getattr(self, name)
        return found.get_secret_value() if isinstance(found, SecretStr) else str(found or "")


class Endpoints(Section):
    """Base URLs that replace the vendor's, for private deployments and simulators."""

    api: str = ""
    """Base URL of the platform's API."""
    oapi: str = ""
    """DingTalk: base URL of its older API (`https://oapi.dingtalk.com`)."""
    ws: str = ""
    """WeCom aibot: URL of its WebSocket (`wss://openws.work.weixin.qq.com`)."""
    login: str = ""
    """Teams: base URL that gives access tokens (`https://login.microsoftonline.com`)."""
    openid: str = ""
    """Teams: URL of the OpenID metadata that names the keys of incoming calls."""

    def named(self) -> dict[str, str]:
        """Every endpoint by its name; empty where it is not replaced."""
        return dict(self)


class MessageFormat(Section):
    text_template: str = "{message}"
    """How an answer is framed; `{message}` stands for the answer."""
    card_width: Annotated[int, Field(ge=200, le=2000)] = 600
    """Width of cards in pixels, where the platform has a choice of widths."""


class ChannelConfig(Section):
    """One connection to a chat platform. Its key is its name, and its type by default."""

    type: str = ""
    """dingtalk | wecom | wecom_aibot | feishu | slack | teams | telegram | mattermost | matrix |
    email | webhook | webchat | dingtalk_robot | wecom_robot | feishu_robot, or what a connector
    plugin provides. Default: the key."""
    enabled: bool = True
    """False keeps the settings and opens nothing."""
    mode: Literal["", "webhook", "stream", "poll"] = ""
    """How messages come in: the platform calls us (`webhook`), we hold a connection to it
    (`stream`) or ask it again and again (`poll`). Default: the first that the type has."""
    auth: Auth = Auth()
    """Credentials."""
    endpoints: Endpoints = Endpoints()
    """Base URLs that replace the vendor's."""
    message_format: MessageFormat = MessageFormat()
    """How answers are framed."""
    reply: Literal["text", "markdown", "card"] = "markdown"
    """The form of answers, where the platform offers several."""
    card_template_id: str = ""
    """DingTalk: the AI card template that answers are streamed into: `<id>`, or `<id>#<variable>`
    when its text variable is not `msgContent`. With it `reply` is `card`."""
    feedback: bool = True
    """Whether answers can be rated by 👍 and 👎, where the platform has buttons for it."""
    welcome: bool = True
    """Whether a person who opens the chat for the first time is greeted."""
    seen: bool = True
    """Whether the person sees that the bot is at work (typing, a reaction), if there is a way."""
    allow_tenants: tuple[str, ...] = ()
    """Organisations whose messages are taken: DingTalk's corp ids, Feishu's tenant keys, Slack's
    workspaces, Teams' tenants, Matrix' servers. Empty: every one that the platform lets through (a
    Teams bot with `auth.tenant`: that one)."""
    callback_url: str = ""
    """`webhook` channel: where answers are posted to. DingTalk in HTTP mode, and Mattermost: the
    engine's own base address as the platform reaches it, such as `https://ai.example.com`, which
    pressed buttons call."""


class ModelConfig(Section):
    """One model behind an OpenAI-compatible server."""

    base_url: str
    """Base URL of the server, ending in `/v1`."""
    model: str
    """The model's name there."""
    api_key: SecretStr = SecretStr("")
    """Sent as a Bearer token."""
    languages: tuple[str, ...] = ("*",)
    """Languages that the model speaks (`zh`, `en`, …); `*` for all. A message in a script that it
    does not speak is not sent to it."""
    tools: bool = True
    """Whether the model takes tool definitions."""
    images: bool = False
    """Whether the model takes images."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature; the server's default when absent."""
    max_tokens: Annotated[int, Field(ge=1, le=200_000)] | None = None
    """The longest answer, in tokens; the server's default when absent."""
    context_tokens: Annotated[int, Field(ge=256, le=2_000_000)] = 8192
    """The model's context window in tokens; history is cut to fit."""
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 5.0
    """Longest wait for a connection."""
    idle_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """Longest silence within a streamed answer."""
    total_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """Longest whole answer."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Calls in flight at once; others wait in order."""
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    """Repeated attempts before the first piece of an answer has arrived."""


class AssistantConfig(Section):
    model: str = ""
    """Key of the model in `models` that answers. Empty: the only one, or none."""
    fallbacks: tuple[str, ...] = ()
    """Models tried in this order when the first cannot answer."""
    system_prompt: str = ""
    """The assistant's standing instruction. Empty: the built-in one, in both languages."""
    history_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 3000
    """How much of the conversation the model is shown again, in tokens."""
    rounds_max: Annotated[int, Field(ge=1, le=50)] = 8
    """Model rounds with tool calls in one turn."""
    parallel_tools_max: Annotated[int, Field(ge=1, le=64)] = 8
    """Tools that run at once in one turn."""


class SessionConfig(Section):
    idle_minutes: Annotated[float, Field(gt=0, le=10_080)] = 15
    """A session without a message for so long is destroyed."""
    scope: Literal["user", "group", "thread", "user_in_group"] = "user_in_group"
    """Who shares a session in a group chat: the person everywhere, the whole group, the thread,
    or each person in each group. In a private chat it is always the person."""


class Rule(Section):
    """One routing rule. Higher priority first, then file order."""

    pattern: str = ""
    """RE2 expression searched in the message's text; the matched prefix is stripped."""
    action: Literal["forward_to_engine", "trigger_skill", "reply", "drop"]
    """What happens: ask the assistant, run a skill, answer with a text, or nothing."""
    skill_id: str = ""
    """`trigger_skill`: which skill."""
    text: str = ""
    """`reply`: the answer."""
    priority: int = 0
    """Higher wins."""
    name: str = ""
    """For people, in `routes test` and traces."""
    channel: str = ""
    """Only on this channel."""
    chat: Literal["", "private", "group"] = ""
    """Only in this kind of chat."""
    role: str = ""
    """Only for senders who have this role."""


class DefaultRoute(Section):
    action: Literal["forward_to_engine", "trigger_skill", "reply", "drop"] = "forward_to_engine"
    """What happens to a message that no rule matches."""
    skill_id: str = ""
    """`trigger_skill`: which skill."""
    text: str = ""
    """`reply`: the answer."""


class WeatherConfig(Section):
    geocoding_url: str = "https://geocoding-api.open-meteo.com"
    """Base URL of the Open-Meteo geocoding API."""
    forecast_url: str = "https://api.open-meteo.com"
    """Base URL of the Open-Meteo forecast API."""


class CalendarConfig(Section):
    file: str = ""
    """The iCalendar file. Empty: `calendar.ics` in the data directory."""


class SkillsConfig(Section):
    enabled: tuple[str, ...] = ("*",)
    """Which skills are on; `*` for all."""
    timezone: str = "Asia/Shanghai"
    """IANA time zone for dates in words."""
    weather: WeatherConfig = WeatherConfig()
    """Where weather comes from."""
    calendar: CalendarConfig = CalendarConfig()
    """Where appointments are kept."""


class PluginsConfig(Section):
    auto_reload: bool = True
    """Pick up changed plugins without a restart. This version has no plugin runtime: accepted and
    kept, without effect yet."""
    scan_interval: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds between two looks at the plugin folders; see `auto_reload`."""


class ServerConfig(Section):
    backlog_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Accepted but unanswered messages; above it the engine answers 503 with Retry-After."""
    body_bytes_max: Annotated[int, Field(ge=1024, le=100_000_000)] = 1_048_576
    """The largest request body."""
    turns_max: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Turns that run at once."""
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 30
    """How long running turns may finish, and their replies go out, when the engine stops."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded headers count."""
    tls_cert: str = ""
    """Certificate chain (PEM) when the engine serves TLS itself."""
    tls_key: str = ""
    """Its private key (PEM)."""
    turn_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 600
    """Longest whole turn."""


class LogConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""
    format: Literal["json", "text"] = "json"
    """One JSON object a line, or lines for people."""
    message_text: bool = False
    """Whether logs may hold what people wrote."""


class PersonConfig(Section):
    """One person who has several identities; their private chats share one session."""

    name: str = ""
    """For people."""
    identities: tuple[str, ...]
    """`<channel type>:<tenant>/<user id>`, such as `dingtalk:dingcorp/u001` or `webchat:/admin`
    (the tenant may be empty)."""


class Config(Section):
    """The whole of `ai-engine.json`."""

    channels: dict[str, ChannelConfig] = Field(default_factory=dict[str, ChannelConfig])
    """Connections to chat platforms, by name."""
    models: dict[str, ModelConfig] = Field(default_factory=dict[str, ModelConfig])
    """Language models, by name."""
    assistant: AssistantConfig = AssistantConfig()
    """How the assistant answers."""
    session: SessionConfig = SessionConfig()
    """How long and for whom a conversation is one."""
    people: dict[str, PersonConfig] = Field(default_factory=dict[str, PersonConfig])
    """People with several identities, by an id of your choice."""
    routing_rules: tuple[Rule, ...] | str = ()
    """A list of rules, or the path of a YAML file with them."""
    default_route: DefaultRoute = DefaultRoute()
    """What happens to a message that no rule matches."""
    skills: SkillsConfig = SkillsConfig()
    """The built-in skills."""
    plugins: PluginsConfig = PluginsConfig()
    """How plugins are kept up to date."""
    server: ServerConfig = ServerConfig()
    """Limits and transport."""
    log: LogConfig = LogConfig()
    """What is logged and how."""
    language: Language = "zh"
    """Language of texts to people when a message does not tell."""

    _written: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])

    @property
    def written(self) -> Mapping[str, str]:
        """JSON path of each value made by references → its text as written (`${NAME}`)."""
        return self._written

    def with_written(self, written: Mapping[str, str]) -> Self:
        """This configuration, knowing which of its values came from references."""
        copy = self.model_copy()
        copy._written = dict(written)
        return copy

    def rules(self) -> tuple[Rule, ...]:
        """The routing rules; the loader has replaced a path by its rules."""
        if isinstance(self.routing_rules, str):
            raise TypeError("routing_rules is still a path: load the configuration by load()")
        return self.routing_rules


def json_schema() -> dict[str, Any]:
    """JSON Schema of the configuration file, for editors and for checks before deployment."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    editors_key = {"type": "string", "description": "The JSON Schema, for editors; not a setting."}
    schema["properties"] = {"$schema": editors_key, **schema["properties"]}
    return schema
