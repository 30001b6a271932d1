"""What the deployment guide asks for, line by line, and which tests prove it.

Each entry is `built` (then at least one test carries `@pytest.mark.requirement("<id>")`) or
`deferred` with the reason. tests/tidy/test_requirements.py fails for an entry without a test, and
for a test that names an entry that does not exist.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    says: str
    """In our own words."""
    where: str = ""
    """Modules that do it; empty while deferred."""
    deferred: str = ""
    """Why not yet."""


_PLUGINS = "with the plugin runtime"
_GOVERNANCE = "with roles, approvals, masking and the audit chain"
_SCALE = "with the Redis and PostgreSQL engines"
_CONSOLE = "with the browser console"
_RELEASES = "with published releases and operations"

R = Requirement
REQUIREMENTS: dict[str, Requirement] = {
    # 1.1 creating the bot
    "bot:credentials": R(
        says="A bot is set up with an app key and an app secret; both are kept safe and prove "
        "every later request.",
        where="channels.dingtalk, config.secrets",
    ),
    "bot:webhook-address": R(
        says="The platform pushes messages to a webhook address of ours, behind nginx with HTTPS "
        "if wanted.",
        where="gateway, channels.dingtalk",
    ),
    # 1.2 permissions
    "permission:cards": R(
        says="Rich cards need the scope Card.Streaming.Write; when it is missing the "
        "administrator reads exactly that.",
        where="channels.dingtalk.ai_cards, channels.dingtalk.about",
    ),
    "permission:instances": R(
        says="Managing robot instances needs a scope of its own (Card.Instance.Write).",
        where="channels.dingtalk.ai_cards, channels.dingtalk.about",
    ),
    "permission:messages": R(
        says="Sending plain messages needs the scope qyapi_robot_sendmsg; when it is missing the "
        "administrator reads exactly that.",
        where="channels.dingtalk",
    ),
    "permission:approval": R(
        says="A person who is no administrator asks for a permission and someone approves it.",
        deferred=_GOVERNANCE,
    ),
    "permission:rbac": R(
        says="Permissions are bound to roles, such as an AI operations specialist.",
        deferred=_GOVERNANCE,
    ),
    # 1.3 publishing
    "publish:visibility": R(
        says="A bot starts visible to its developers only.", deferred=_RELEASES
    ),
    "publish:switches": R(
        says="Receiving and sending are switched on before publishing.", deferred=_RELEASES
    ),
    "publish:semver": R(says="Releases carry semantic versions.", deferred=_RELEASES),
    "publish:instance-id": R(
        says="A published app has an id of its own for routing and authentication.",
        deferred=_RELEASES,
    ),
    "publish:release-list": R(
        says="Each release records changes, tester and rollback plan.", deferred=_RELEASES
    ),
    # 2.1 deployment
    "deploy:kubernetes": R(says="Runs on Kubernetes by a Helm chart.", deferred=_RELEASES),
    "deploy:bare-metal": R(
        says="Runs on one machine without containers, everything under one data directory.",
        where="cli.serve, engine",
    ),
    "deploy:hybrid": R(says="Parts run at home and parts in a cloud.", deferred=_RELEASES),
    "deploy:sizing": R(
        says="The machine's CPU, memory, disk and network are checked against a minimum.",
        deferred=_RELEASES,
    ),
    # 2.2 plugins
    "plugins:connectors": R(says="Connector plugins join further platforms.", deferred=_PLUGINS),
    "plugins:skills": R(
        says="Skills give abilities such as weather and calendar.", where="skills.builtin"
    ),
    "plugins:management": R(
        says="Management plugins do alerting and log collection.", deferred=_PLUGINS
    ),
    "plugins:install": R(
        says="`ai-engine plugins install --source URL --version TAG` installs a pinned version.",
        deferred=_PLUGINS,
    ),
    "plugins:update": R(
        says="`ai-engine plugins update NAME --patch` takes the highest patch.", deferred=_PLUGINS
    ),
    # 2.3 configuration
    "config:json": R(
        says="The core configuration is one JSON file; the guide's example is valid as printed.",
        where="config.load",
    ),
    "config:missing-plugin": R(
        says="The example's channel type comes from a plugin: without it the engine starts and the "
        "channel says what is missing.",
        where="channels.missing, config.load",
    ),
    "config:mode-600": R(
        says="The configuration file must be readable by its owner only.", where="config.files"
    ),
    "config:configmap": R(
        says="The file can be mounted from a ConfigMap or Secret and is followed when swapped.",
        where="config.watch",
    ),
    "config:token-expire": R(
        says="auth.token_expire bounds how long a platform token is used.",
        where="channels.token",
    ),
    "config:text-template": R(
        says="message_format.text_template frames every answer.", where="pipeline.replies"
    ),
    "config:card-width": R(
        says="message_format.card_width sets a card's width, as far as the platform has widths.",
        where="channels.dingtalk.cards, channels.teams.cards, channels.feishu.cards",
    ),
    "config:plugin-reload": R(
        says="plugins.auto_reload and plugins.scan_interval rule reloading.", deferred=_PLUGINS
    ),
    # 3.1 routing
    "routing:webhook-in": R(
        says="The platform pushes a message to the engine by webhook.", where="gateway, pipeline"
    ),
    "routing:match": R(
        says="The engine reads the message and finds the skill that answers.",
        where="routing.match, pipeline.turn",
    ),
    "routing:reply": R(
        says="The result goes back to the platform through its interface.",
        where="pipeline.delivery, channels",
    ),
    "routing:rules": R(
        says="Rules have a pattern, an action, a skill and a priority; the guide's file works as "
        "printed.",
        where="routing, config.rules_file",
    ),
    # 3.2 sessions
    "session:redis": R(says="Sessions live on a Redis cluster.", deferred=_SCALE),
    "session:idle": R(
        says="A session without a message for 15 minutes is destroyed.", where="journal"
    ),
    "session:multi-end": R(
        says="State reaches every device in real time over WebSocket.", where="api.websocket"
    ),
    "session:shape": R(
        says="A session has session_id, user_id, context (last_skill, params) and expire_at.",
        where="api.views, domain.session",
    ),
    # 3.3 security
    "security:transport": R(says="HTTPS with TLS 1.2 or later is forced.", deferred=_GOVERNANCE),
    "security:jwt": R(says="Applications prove themselves by JWT.", deferred=_GOVERNANCE),
    "security:masking": R(says="Sensitive data is masked.", deferred=_GOVERNANCE),
    "security:audit": R(says="A complete operation log is kept.", deferred=_GOVERNANCE),
    "security:rate-limit": R(
        says="10 requests a second with a burst of 20 for each address.", deferred=_GOVERNANCE
    ),
    # 4.1 verification
    "verify:text": R(says="Text goes both ways.", where="pipeline, simulators.dingtalk"),
    "verify:cards": R(
        says="Cards are rendered, and their buttons come back.",
        where="cli.verification, channels",
    ),
    "verify:skills": R(
        says="Several skills work together in one turn.", where="assistant.tool_round"
    ),
    "verify:faults": R(
        says="A cut network and time-outs are survived.", where="pipeline.delivery, channels"
    ),
    # 4.2 monitoring
    "monitor:latency": R(
        says="The 99th percentile of the engine's own latency stays below 500 ms, read from "
        'ai_engine_latency_seconds{quantile="0.99"}.',
        where="observe.metrics",
    ),
    "monitor:plugin-load": R(says="Plugins load with > 99.9 % success.", deferred=_PLUGINS),
    "monitor:cpu": R(says="The process's CPU use can be watched.", where="observe.metrics"),
    "monitor:alert-rule": R(
        says="The guide's alert rule is accepted as printed.", deferred=_RELEASES
    ),
    # 4.3 upgrades
    "upgrade:blue-green": R(
        says="A new version starts beside the old one, traffic moves, the old one stops.",
        deferred=_RELEASES,
    ),
    "upgrade:backups": R(
        says="Two stable versions and the last three backups are kept.", deferred=_SCALE
    ),
    # 5 practice
    "practice:canary": R(says="A release starts with 10 % of the users.", deferred=_RELEASES),
    "practice:hot-skills": R(says="Skills are replaced without a restart.", deferred=_PLUGINS),
    "practice:environments": R(says="dev, test and prod are kept apart.", where="config.load"),
    "practice:ci": R(says="Pipelines deploy by themselves.", deferred=_RELEASES),
    "practice:availability": R(
        says="99.95 % availability: what was accepted is answered, whatever breaks.",
        where="journal, pipeline",
    ),
    "practice:thirty-minutes": R(
        says="From nothing to a working assistant in 30 minutes without code.",
        where="cli.init, cli.demo",
    ),
}
