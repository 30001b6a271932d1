"""Loading the configuration: what is taken, where it came from, and what is refused."""

import os
from pathlib import Path

import pytest

from ai_engine.cli.settings import load_config
from ai_engine.config.load import load
from ai_engine.domain.errors import ConfigInvalid

from support.settings import DINGTALK, GUIDE, MODEL, TYPES, read, tell, write


def only(path: Path, **options) -> str:
    """The single error of a configuration."""
    (problem,) = read(path, **options).problems
    assert problem.severity == "error"
    return tell(problem)


def test_the_guides_configuration_is_valid_as_printed_with_one_warning(tmp_path):
    path = write(tmp_path, (GUIDE / "ai-engine.json").read_bytes())
    loaded = load(path, channel_types=TYPES)
    channel = loaded.config.channels["im_platform"]
    assert (channel.type, channel.enabled, channel.auth.token_expire) == ("im_platform", True, 3600)
    assert channel.auth.app_secret.get_secret_value() == "your_app_secret"
    assert channel.message_format.text_template == "AI助手: {message}"
    assert channel.message_format.card_width == 750
    assert (loaded.config.plugins.auto_reload, loaded.config.plugins.scan_interval) == (True, 300)
    (warning,) = loaded.warnings
    assert warning.severity == "warning"
    assert warning.where == "ai-engine.json: $.channels.im_platform"
    assert "'im_platform' is not installed" in warning.what
    assert "Install a connector plugin" in warning.fix
    assert "dingtalk, webchat, webhook" in warning.fix


def test_the_guides_rules_are_read_from_their_file_as_printed(tmp_path):
    (tmp_path / "routing_rules.yaml").write_bytes((GUIDE / "routing_rules.yaml").read_bytes())
    loaded = load(write(tmp_path, {"routing_rules": "routing_rules.yaml"}), channel_types=TYPES)
    first, second = loaded.config.rules()
    assert (first.pattern, first.action, first.priority) == ("^/ai@", "forward_to_engine", 10)
    assert (second.pattern, second.action, second.skill_id) == (
        "^@bot",
        "trigger_skill",
        "calendar_query",
    )
    assert loaded.origins["$.routing_rules[1].skill_id"] == "routing_rules.yaml:7"
    assert tmp_path / "routing_rules.yaml" in loaded.files


def test_the_channel_type_is_its_key_and_hyphens_are_underscores(tmp_path):
    path = write(tmp_path, {"channels": {"im-platform": {}, "a": {"type": "IM_Platform"}}})
    loaded = load(path, channel_types=(*TYPES, "im_platform"))
    assert [c.type for c in loaded.config.channels.values()] == ["im_platform", "im_platform"]
    assert not loaded.warnings


def test_every_value_says_where_it_came_from(tmp_path):
    write(tmp_path, {"log": {"level": "debug"}}, "ai-engine.dev.json")
    path = write(tmp_path, {"language": "en", "log": {"format": "${F}", "level": "info"}})
    origins = load(path, env="dev", environ={"F": "text"}, channel_types=TYPES).origins
    assert origins["$.language"] == "ai-engine.json"
    assert origins["$.log.level"] == "ai-engine.dev.json"
    assert origins["$.log.format"] == "ai-engine.json, ${F}"
    assert origins["$.session.scope"] == "default"


def test_an_overlay_merges_objects_replaces_lists_and_null_removes(tmp_path):
    base = {
        "channels": {"dingtalk": DINGTALK, "webchat": {}},
        "models": {"a": {**MODEL, "languages": ["zh", "en"]}},
    }
    path = write(tmp_path, base)
    patch = {
        "channels": {"dingtalk": None},
        "models": {"a": {"model": "other", "languages": ["en"]}},
    }
    write(tmp_path, patch, "ai-engine.prod.json")
    config = load(path, env="prod", channel_types=TYPES).config
    assert list(config.channels) == ["webchat"]
    assert config.models["a"].model == "other"
    assert config.models["a"].languages == ("en",)
    assert config.models["a"].base_url == MODEL["base_url"]
    assert list(load(path, channel_types=TYPES).config.channels) == ["dingtalk", "webchat"]


def test_a_problem_names_the_file_whose_value_it_is(tmp_path):
    path = write(tmp_path, {"log": {"level": "info"}})
    write(tmp_path, {"log": {"level": "loud"}}, "ai-engine.test.json")
    assert only(path, env="test").startswith("ai-engine.test.json: $.log.level: ")


def test_a_missing_overlay_is_a_warning_unless_it_is_needed(tmp_path):
    path = write(tmp_path)
    loaded = load(path, env="prod", channel_types=TYPES)
    (warning,) = loaded.warnings
    assert "no ai-engine.prod.json" in warning.what
    assert tmp_path / "ai-engine.prod.json" in loaded.files
    assert "no ai-engine.prod.json" in only(path, env="prod", needs_overlay=True)


def test_an_unknown_environment_is_an_error_with_the_nearest_one(tmp_path):
    assert "Did you mean 'prod'?" in only(write(tmp_path), env="prd")


def test_a_schema_key_for_editors_is_no_setting(tmp_path):
    assert read(write(tmp_path, {"$schema": "./schema.json"})).loaded


@pytest.mark.parametrize(
    ("mode", "allow_group_read", "taken"),
    [
        (0o600, False, True),
        (0o400, False, True),
        (0o640, False, False),
        (0o640, True, True),
        (0o440, True, True),
        (0o660, True, False),
        (0o644, True, False),
        (0o601, False, False),
    ],
)
def test_only_private_files_are_taken(tmp_path, mode, allow_group_read, taken):
    path = write(tmp_path)
    path.chmod(mode)
    tried = read(path, allow_group_read=allow_group_read)
    assert bool(tried.loaded) is taken
    if not taken:
        assert f"mode {mode:04o}" in tried.problems[0].what
        assert f"chmod 600 {path}" in tried.problems[0].fix
        hint = "--allow-group-read" in tried.problems[0].fix
        assert hint is (mode == 0o640)
    assert read(path, check_mode=False).loaded


def test_the_overlay_must_be_private_too(tmp_path):
    path = write(tmp_path)
    write(tmp_path, {}, "ai-engine.dev.json").chmod(0o644)
    assert only(path, env="dev").startswith("ai-engine.dev.json: ")


def test_a_rules_file_may_be_read_but_not_written_by_everyone(tmp_path):
    rules = write(tmp_path, "routing_rules: []\n", "r.yaml")
    path = write(tmp_path, {"routing_rules": "r.yaml"})
    rules.chmod(0o644)
    assert read(path).loaded
    rules.chmod(0o666)
    assert "chmod o-w" in only(path)


def test_a_mounted_link_is_followed(tmp_path):
    write(tmp_path, {"language": "en"}, "real.json")
    (tmp_path / "ai-engine.json").symlink_to("real.json")
    assert read(tmp_path / "ai-engine.json").loaded.config.language == "en"


def test_a_missing_file_names_init(tmp_path):
    assert "ai-engine init" in only(tmp_path / "none.json")


def test_a_directory_a_pipe_and_a_loop_are_refused_without_waiting(tmp_path):
    assert "is a directory" in only(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in only(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be opened" in only(tmp_path / "loop")


def test_an_unreadable_file_says_who_must_own_it(tmp_path, monkeypatch):
    path = write(tmp_path)

    def denied(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ai_engine.config.files.os.open", denied)
    assert "this user may not read it" in only(path)


@pytest.mark.parametrize(
    ("raw", "where", "words"),
    [
        (b"", ":1:1: ", "the file is empty"),
        (b'{\n "log": {},\n}', ":2:11: ", "Remove that comma"),
        (b'{"a": [1,]}', ":1:9: ", "Remove that comma"),
        (b'{\n "a": 1 // why\n}', ":2:9: ", "JSON has no comments"),
        (b"{'a': 1}", ":1:2: ", "Use double quotes"),
        (b'{"a": [1, 2', ":1:12: ", "ends too early"),
        (b'{"a" 1}', ":1:6: ", "missing comma, colon"),
        (b'{"a": NaN}', ": ", "NaN is not JSON"),
        (b"[" * 100_000, ": ", "nested too deeply"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, ": ", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", ": ", "too long"),
        (b"[]", ": $: ", "must be an object"),
        (b"null", ": $: ", "must be an object"),
        (b"\xef\xbb\xbf{}", ": ", "byte order mark"),
        ("{}".encode("utf-16"), ": ", "UTF-16"),
        (b'{\n "a": "\xff"}', ": ", "line 2 is not UTF-8"),
        (b'{"log": {"level": "\\ud800"}}', ": $.log.level: ", "half a character"),
    ],
)
def test_broken_text_is_told_with_its_place(tmp_path, raw, where, words):
    tried = read(write(tmp_path, raw))
    assert tried.problems[0].where + ": " == f"ai-engine.json{where}"
    assert words in tell(tried.problems[0])


def test_a_file_beyond_the_limit_is_refused(tmp_path):
    assert "larger than" in only(write(tmp_path, b" " * (4 * 1024 * 1024 + 1)))


def test_keys_written_twice_are_errors_at_any_depth(tmp_path):
    text = '{"log": {"level": "info", "level": "debug"}, "language": "zh", "language": "en"}'
    problems = read(write(tmp_path, text)).problems
    assert {p.where for p in problems} == {
        "ai-engine.json: $.log.level",
        "ai-engine.json: $.language",
    }
    assert all("twice" in p.what for p in problems)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ({"chanels": {}}, "$.chanels", "Did you mean 'channels'?"),
        ({"log": {"zzz": 1}}, "$.log.zzz", "known here: level, format, message_text"),
        (
            {"channels": {"w": {"type": "webchat", "app_id": "x"}}},
            "$.channels.w.app_id",
            "belongs into 'auth'",
        ),
        ({"log": {"level": "loud"}}, "$.log.level", "found 'loud'"),
        ({"log": {"level": "inf"}}, "$.log.level", "Did you mean 'info'?"),
        ({"log": []}, "$.log", "must be an object { … }; found a list"),
        ({"language": None}, "$.language", "found null"),
        ({"session": {"idle_minutes": 0}}, "$.session.idle_minutes", "more than 0 and at most"),
        ({"session": {"idle_minutes": "15"}}, "$.session.idle_minutes", "without quotes"),
        ({"server": {"turns_max": 0}}, "$.server.turns_max", "from 1 to 10000; found 0"),
        ({"server": {"turns_max": 2.5}}, "$.server.turns_max", "must be a whole number"),
        ({"server": {"turns_max": True}}, "$.server.turns_max", "found true"),
        ({"plugins": {"auto_reload": "yes"}}, "$.plugins.auto_reload", "true or false"),
        ({"assistant": {"system_prompt": 3}}, "$.assistant.system_prompt", "double quotes"),
        ({"assistant": {"fallbacks": "m"}}, "$.assistant.fallbacks", "must be a list"),
        ({"skills": {"enabled": ["a", 3]}}, "$.skills.enabled[1]", "must be text"),
        ({"models": {"m": {"model": "x"}}}, "$.models.m.base_url", "missing"),
        ({"models": {"my m": {"base_url": 1, "model": "x"}}}, '$.models["my m"].base_url', "text"),
        ({"routing_rules": 3}, "$.routing_rules", "a list of rules or a path"),
        ({"routing_rules": ["x"]}, "$.routing_rules[0]", "must be an object"),
        ({"routing_rules": [{}]}, "$.routing_rules[0].action", "missing"),
        (
            {"routing_rules": [{"action": "drop"}, {"action": "drop", "patern": "x"}]},
            "$.routing_rules[1].patern",
            "Did you mean 'pattern'?",
        ),
    ],
)
def test_a_wrong_shape_is_told_in_plain_words(tmp_path, content, place, words):
    told = only(write(tmp_path, content))
    assert told.startswith(f"ai-engine.json: {place}: ")
    assert words in told


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ({"channels": {"engine": {"type": "webchat"}}}, "$.channels.engine", "built-in"),
        ({"channels": {"a/b": {"type": "webchat"}}}, '$.channels["a/b"]', "no name for a channel"),
        (
            {"channels": {"a-b": {"type": "webchat"}, "a_b": {"type": "webchat"}}},
            "$.channels.a_b",
            "same name as 'a-b'",
        ),
        (
            {"channels": {"webchat": {"message_format": {"text_template": "hello"}}}},
            "$.channels.webchat.message_format.text_template",
            "lacks {message}",
        ),
        (
            {"models": {"main": MODEL}, "assistant": {"model": "mian"}},
            "$.assistant.model",
            "Did you mean 'main'?",
        ),
        ({"assistant": {"model": "main"}}, "$.assistant.model", "models.main"),
        (
            {"models": {"a": MODEL}, "assistant": {"model": "a", "fallbacks": ["zzz"]}},
            "$.assistant.fallbacks[0]",
            "a key of models: a",
        ),
        ({"models": {"a": MODEL, "b": MODEL}}, "$.assistant.model", "which one answers"),
        (
            {"models": {"a": {**MODEL, "base_url": "localhost:8000"}}},
            "$.models.a.base_url",
            "http or https URL",
        ),
        (
            {"routing_rules": [{"action": "trigger_skill"}]},
            "$.routing_rules[0].skill_id",
            "needs a skill_id",
        ),
        ({"default_route": {"action": "reply"}}, "$.default_route.text", "needs a text"),
        ({"server": {"tls_cert": "c"}}, "$.server.tls_key", "tls_key is needed too"),
        ({"server": {"tls_key": "k"}}, "$.server.tls_cert", "tls_cert is needed too"),
        ({"server": {"trusted_proxies": ["nginx"]}}, "$.server.trusted_proxies[0]", "10.0.0.0/8"),
        ({"skills": {"timezone": "Mars/Base"}}, "$.skills.timezone", "Asia/Shanghai"),
    ],
)
def test_settings_that_do_not_fit_are_told(tmp_path, content, place, words):
    told = only(write(tmp_path, content))
    assert told.startswith(f"ai-engine.json: {place}: ")
    assert words in told


def test_a_channel_that_is_off_needs_no_credentials_and_no_plugin(tmp_path):
    off = {"dingtalk": {"enabled": False}, "feishu": {"enabled": False}}
    loaded = load(write(tmp_path, {"channels": off}), channel_types=TYPES)
    assert not loaded.warnings


def test_all_problems_are_told_at_once(tmp_path):
    write(tmp_path, "routing_rules:\n  - action: run\n", "r.yaml")
    content = {
        "routing_rules": "r.yaml",
        "nonsense": 1,
        "server": {"turns_max": "many", "tls_cert": "c"},
        "channels": {"dingtalk": {"auth": {"app_id": "${GONE}"}}},
        "skills": {"timezone": "X/Y"},
    }
    with pytest.raises(ConfigInvalid) as caught:
        load(write(tmp_path, content), environ={}, channel_types=TYPES)
    assert sorted(p.where for p in caught.value.problems) == [
        "ai-engine.json: $.channels.dingtalk.auth.app_id",
        "ai-engine.json: $.nonsense",
        "ai-engine.json: $.server.tls_key",
        "ai-engine.json: $.server.turns_max",
        "ai-engine.json: $.skills.timezone",
        "r.yaml:2",
    ]
    assert all(p.what and p.fix for p in caught.value.problems)


def test_what_follows_from_a_told_problem_is_not_told_again(tmp_path):
    content = {
        "channels": {"dingtalk": {"auth": 3}},
        "models": {"m": 3},
        "assistant": {"model": "m"},
    }
    places = [p.where for p in read(write(tmp_path, content)).problems]
    assert places == ["ai-engine.json: $.channels.dingtalk.auth", "ai-engine.json: $.models.m"]


def test_a_file_of_nothing_but_faults_is_told_briefly(tmp_path):
    tried = read(write(tmp_path, {f"key{n}": n for n in range(5000)}))
    assert 100 <= len(tried.problems) <= 102
    assert any("5000 faults" in p.what for p in tried.problems)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (
            {"dingtalk": {"auth": {"app_id": "x"}}},
            "$.channels.dingtalk.auth.app_secret",
            "a dingtalk channel needs auth.app_secret",
        ),
        ({"webhook": {}}, "$.channels.webhook.auth.secret", "needs auth.secret"),
        (
            {"webhook": {"auth": {"secret": "s"}, "mode": "stream"}},
            "$.channels.webhook.mode",
            "not a mode",
        ),
        (
            {"dingtalk": {"auth": {"app_id": "a", "app_secret": "b"}, "endpoints": {"api": "x"}}},
            "$.channels.dingtalk.endpoints.api",
            "not an http",
        ),
    ],
)
def test_what_a_connector_lacks_refuses_the_configuration(tmp_path, content, place, words):
    with pytest.raises(ConfigInvalid) as caught:
        load_config(write(tmp_path, {"channels": content}))
    [problem] = caught.value.problems
    assert problem.where == f"ai-engine.json: {place}"
    assert words in problem.what
    assert problem.fix
