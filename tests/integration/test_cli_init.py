"""`ai-engine init` for every platform: by flags, by questions, in both languages."""

import json
import os
import re
import stat

import pytest
import typer
from typer.testing import CliRunner

from ai_engine.channels.about import About, is_secret, needs_address, quiet_mode
from ai_engine.channels.types import about
from ai_engine.cli.config import app as config_app
from ai_engine.cli.init import init
from ai_engine.cli.init_channel import Group, groups, label, offered, own_name
from ai_engine.cli.output import Exit
from ai_engine.config.schema import Auth

CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
SAMPLES = {
    "aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "agent_id": "1000002",
    "url": "https://chat.example.org",
    "homeserver": "https://matrix.example.org",
    "user": "@bot:example.org",
    "imap": "imaps://mail.example.org:993",
    "smtp": "smtps://mail.example.org:465",
    "allow_senders": "@example.org, anna@example.com",
}
WAYS = [(kind, mode) for kind in offered() for mode in about(kind).modes or ("",)]

root = typer.Typer()
root.add_typer(config_app, name="config")
root.command("init")(init)


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """An empty folder and an environment that names no configuration and no language."""
    monkeypatch.chdir(tmp_path)
    for name in ("AI_ENGINE_CONFIG", "AI_ENGINE_DATA", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ai_engine.cli.locate.SYSTEM_CONFIG", tmp_path / "none")
    return tmp_path


def run(*args, stdin=None):
    return CliRunner().invoke(root, list(args), input=stdin)


def made(kind):
    """The channel that was written; the file is private and passes the check."""
    assert stat.S_IMODE(os.stat("ai-engine.json").st_mode) == 0o600
    checked = run("config", "check")
    assert checked.exit_code == Exit.OK, checked.output
    with open("ai-engine.json", encoding="utf-8") as file:
        return json.load(file)["channels"][kind]


def sample(name):
    return SAMPLES.get(name, f"{name}-value")


def asked(kind, mode):
    """The settings that a person is asked for; of several the first."""
    platform = about(kind)
    names = [group.names[0] for group in groups(platform, mode)]
    return [name for name in names if name not in platform.made]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("kind", "mode"), WAYS)
def test_flags_alone_set_up_every_platform(kind, mode, lang, tmp_path, monkeypatch):
    flags = ["--mode", mode] if mode else []
    for name in asked(kind, mode):
        if is_secret(name):
            monkeypatch.setenv(f"THE_{name.upper()}", sample(name))
            flags += ["--secret-env", f"{name}=THE_{name.upper()}"]
        else:
            flags += ["--set", f"{name}={sample(name)}"]
    done = run("init", "--yes", "--channel", kind, "--lang", lang, *flags)
    assert done.exit_code == Exit.OK, done.output
    assert bool(CHINESE.search(done.output)) == (lang == "zh"), done.output
    assert "ai-engine serve" in done.stdout
    if needs_address(about(kind), mode) and kind != "webhook":
        assert f"/api/message/{kind}" in done.stdout or "channels register" in done.stdout
    if about(kind).permissions:
        assert f"ai-engine channels permissions {kind}" in done.stdout
    channel = made(kind)
    assert channel.get("mode", mode) == mode
    for name in asked(kind, mode):
        if is_secret(name):
            assert channel["auth"][name] == f"${{THE_{name.upper()}}}"


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(("kind", "mode"), WAYS)
def test_questions_set_up_every_platform_in_one_language(kind, mode, lang):
    answers = [kind, *([mode] if len(about(kind).modes) > 1 else [])]
    answers += [sample(name) for name in asked(kind, mode)]
    answers += [""] * (2 if kind == "webhook" else 1)
    done = run("init", "--lang", lang, stdin="\n".join([*answers, ""]))
    assert done.exit_code == Exit.OK, done.output
    shown = done.output.split("\n", 15)[15]  # after the list, in which types have their own names
    assert bool(CHINESE.search(shown)) == (lang == "zh"), shown
    for name in asked(kind, mode):
        assert not is_secret(name) or sample(name) not in done.output, "no secret is echoed"
    channel = made(kind)
    for name in asked(kind, mode):
        kept = channel["auth"][name]
        assert (", ".join(kept) if isinstance(kept, list) else kept) == sample(name)


@pytest.mark.parametrize(("kind", "mode"), WAYS)
def test_without_a_mode_no_public_address_is_needed_where_there_is_a_way(kind, mode):
    quiet = quiet_mode(about(kind))
    assert not needs_address(about(kind), quiet) or about(kind).modes == ("webhook",)
    assert quiet in (about(kind).modes or ("",))


def test_who_needs_a_public_address_is_told_before_anything_is_asked():
    done = run("init", "--lang", "en", stdin="")
    for line in done.output.splitlines():
        if re.match(r" +\d+  (wecom|teams) ", line):
            assert "needs a public HTTPS address" in line
        elif re.match(r" +\d+  (feishu|slack|webhook) ", line):
            assert "address" not in line
    done = run("init", "--lang", "zh", stdin="feishu\n")
    assert "不需要公网地址" in done.output
    assert "需要一个公网 HTTPS 地址" in done.output


def test_a_channel_and_a_mode_may_be_chosen_by_number():
    done = run("init", "--lang", "en", stdin="4\n2\ncli_1\ns\n\ntoken\n\n")
    assert done.exit_code == Exit.OK, done.output
    assert made("feishu") == {
        "enabled": True,
        "mode": "webhook",
        "auth": {"app_id": "cli_1", "app_secret": "s", "verification_token": "token"},
    }


def test_of_two_secrets_the_second_is_asked_only_without_the_first():
    done = run("init", "--lang", "en", stdin="feishu\nwebhook\ncli_1\ns\nkey\n\n")
    assert done.exit_code == Exit.OK, done.output
    assert "verification_token" not in done.output
    assert made("feishu")["auth"]["encrypt_key"] == "key"


def test_what_may_stay_empty_is_left_out():
    done = run("init", "--lang", "en", stdin="teams\nid\ns\n\n\n")
    assert done.exit_code == Exit.OK, done.output
    assert made("teams") == {"enabled": True, "auth": {"app_id": "id", "app_secret": "s"}}


def test_a_secret_that_is_ours_to_choose_is_made_and_not_shown(monkeypatch):
    monkeypatch.setenv("TOKEN", "1:x")
    flags = ["--channel", "telegram", "--mode", "webhook", "--app-secret-env", "TOKEN"]
    done = run("init", "--yes", *flags)
    assert done.exit_code == Exit.OK, done.output
    assert "ai-engine channels register telegram --url https://<your-host>" in done.stdout
    auth = made("telegram")["auth"]
    assert auth["token"] == "${TOKEN}"
    assert re.fullmatch(r"[A-Za-z0-9_-]{40,256}", auth["secret_token"])
    assert auth["secret_token"] not in done.output


def test_the_general_flags_stand_for_the_platforms_own_names(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    (tmp_path / "key").write_text(SAMPLES["aes_key"])
    (tmp_path / "key").chmod(0o600)
    flags = ["--app-id", "ww1", "--app-secret-env", "SECRET", "--set", "agent_id=1000002"]
    files = ["--secret-file", "aes_key=key", "--secret-env", "auth.token=SECRET"]
    done = run("init", "--yes", "--channel", "wecom", *flags, *files)
    assert done.exit_code == Exit.OK, done.output
    assert made("wecom")["auth"] == {
        "corp_id": "ww1",
        "secret": "${SECRET}",
        "agent_id": "1000002",
        "token": "${SECRET}",
        "aes_key": f"${{file:{tmp_path / 'key'}}}",
    }


def test_one_of_two_secrets_may_come_later_than_the_configuration():
    flags = ["--app-id", "a", "--secret-env", "app_secret=S", "--mode", "webhook"]
    token = ["--secret-env", "verification_token=NOT_YET"]
    done = run("init", "--yes", "--channel", "feishu", *flags, *token)
    assert done.exit_code == Exit.OK, done.output
    assert "NOT_YET is not set" in done.stderr
    assert "encrypt_key" not in done.stderr


def test_an_endpoint_takes_the_place_of_an_address(monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    flags = ["--app-secret-env", "SECRET", "--set", "endpoints.api=http://127.0.0.1:8090"]
    done = run("init", "--yes", "--channel", "mattermost", *flags)
    assert done.exit_code == Exit.OK, done.output
    assert made("mattermost")["endpoints"] == {"api": "http://127.0.0.1:8090"}


def test_a_secret_in_the_open_is_refused_and_not_repeated():
    done = run("init", "--yes", "--channel", "slack", "--set", "bot_token=xoxb-hush")
    assert done.exit_code == Exit.INVALID
    assert "others on this machine could read it" in done.stderr
    assert "hush" not in done.output


def test_the_help_names_every_channel():
    said = " ".join(run("init", "--help").output.replace("│", " ").split())
    assert f"{', '.join(offered()[:-1])} or {offered()[-1]}." in said


@pytest.mark.parametrize("kind", offered())
def test_every_setting_is_named_in_both_languages(kind):
    platform = about(kind)
    for mode in platform.modes or ("",):
        for group in groups(platform, mode):
            for name in group.names:
                assert "." in name or name in Auth.model_fields
                if name not in platform.labels:
                    continue
                zh, en = platform.labels[name]
                assert zh != en
                assert not CHINESE.search(en)
    assert set(platform.labels) <= set(Auth.model_fields)
    assert set(platform.made) <= set(Auth.model_fields)
    assert set(platform.steps) <= {"*", *platform.modes}
    for zh, en in [words for mode in platform.steps.values() for words in mode]:
        assert CHINESE.search(zh)
        assert not CHINESE.search(en)


def test_a_setting_without_a_name_for_people_is_described_by_the_schema():
    platform = About(type="new", zh="新", en="New", needs={"*": ("agent_id",)})
    assert label(platform, "agent_id", "zh") == "WeCom: the app's AgentId."
    assert own_name(platform, "app_id") == ""
    assert groups(platform, "") == [Group(names=("agent_id",), is_needed=True)]
