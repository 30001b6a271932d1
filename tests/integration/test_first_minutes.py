"""What the README's five steps promise, done as an administrator does them, in both languages."""

import asyncio
import json
import re
import stat
import subprocess
import time
import urllib.request

import pytest

from ai_engine.assistant.local import pull

from support.docs import ROOT
from support.sandbox import SECRET, Sandbox
from support.stub_model import StubModel

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
INIT = (
    "ai-engine init --channel webhook --app-secret-env BOT_SECRET"
    " --model-url {url} --model-name stub --yes --lang {lang}"
)
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def _in_thread(work, *args):
    return asyncio.to_thread(work, *args)


def _get(url, **headers):
    with DIRECT.open(urllib.request.Request(url, headers=headers), timeout=20) as response:
        return response.status, response.read().decode()


def _post(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with DIRECT.open(request, timeout=20) as response:
        return json.load(response)


@pytest.fixture
def here(tmp_path):
    with Sandbox(tmp_path / "here") as sandbox:
        yield sandbox


def _five_steps(here, model_url, lang, question):
    """init → config check → serve → a message in, its reply out → routes test."""
    written = here.run(INIT.format(url=model_url, lang=lang))
    checked = here.run("ai-engine config check")
    here.start("ai-engine serve")
    status, answer = here.say("m-1", question, channel="webhook")
    tried = json.loads(here.run(f"ai-engine routes test --json '{question}'"))
    return written, checked, (status, answer), tried


@pytest.mark.requirement("practice:thirty-minutes")
@pytest.mark.parametrize(
    ("lang", "question", "reply", "next_step"),
    [
        ("en", "What is our leave policy?", "Twenty days.", "Next:"),
        ("zh", "年假有几天?", "二十天。", "下一步:"),
    ],
)
async def test_five_steps_lead_from_nothing_to_an_answer(here, lang, question, reply, next_step):
    async with StubModel(default=reply) as model:
        found = await _in_thread(_five_steps, here, model.base_url, lang, question)
        written, checked, (status, answer), tried = found

        assert "ai-engine.json" in written
        assert "0600" in written
        assert next_step in written
        assert "ai-engine serve" in written
        assert bool(CHINESE.search(written)) == (lang == "zh"), "one language, the chosen one"
        assert SECRET not in written
        assert "is valid: no problems" in checked

        assert status == 200
        assert answer["status"] == "answered"
        assert [part["text"] for part in answer["replies"]] == [reply]
        assert [m["content"] for m in model.requests[0]["messages"]][-1] == question
        assert tried["action"] == "forward_to_engine"
        assert tried["text"] == question


async def test_what_init_wrote_is_private_and_holds_no_secret(here):
    await _in_thread(here.run, INIT.format(url="http://127.0.0.1:1/v1", lang="en"))
    path = here.folder / "ai-engine.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in path.read_text(encoding="utf-8")
    assert "${BOT_SECRET}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("locale", "question", "done"),
    [
        ("en_US.UTF-8", "Which channel?", "Start the engine:"),
        ("zh_CN.UTF-8", "接入哪个渠道?", "启动引擎:"),
    ],
)
def test_init_asks_in_the_language_of_the_terminal(here, locale, question, done):
    said = here.run(f"LC_ALL={locale} ai-engine init", answers="\nwebchat\n\n")
    assert question in said
    assert done in said
    assert json.loads((here.folder / "ai-engine.json").read_text())["channels"].keys() == {
        "webchat"
    }


@pytest.mark.parametrize(
    ("locale", "answers", "channel", "said"),
    [
        ("zh_CN.UTF-8", ["feishu", "", "cli_1", SECRET], "feishu", "使用长连接接收"),
        ("en_US.UTF-8", ["7", "webhook", SECRET], "telegram", "channels register telegram --url"),
        ("zh_CN.UTF-8", ["wecom", "ww1", "1", *[SECRET] * 3], "wecom", "/api/message/wecom"),
    ],
)
def test_the_questions_lead_to_a_platform_and_to_what_is_left_to_do_there(
    here, locale, answers, channel, said
):
    lines = "\n".join(["", *answers, "", ""])
    written = here.run(f"LC_ALL={locale} ai-engine init", answers=lines)
    assert said in written
    assert f"ai-engine channels test {channel}" in written
    assert f"ai-engine verify {channel}" in written
    assert SECRET not in written
    assert "is valid: no problems" in here.run("ai-engine config check")


def test_without_a_configuration_every_step_says_how_to_make_one(here):
    for command in ("config check", "serve", "routes test hello", "channels list"):
        done = subprocess.run(
            [here.folder / ".venv/bin/ai-engine", *command.split()],
            cwd=here.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=30,
        )
        assert done.returncode == 2, command
        assert "ai-engine init" in done.stderr, command
        assert "Traceback" not in done.stderr


def test_a_mistake_in_the_configuration_is_named_with_its_place_and_fix(here):
    here.run("ai-engine init --channel webchat --yes --lang en")
    path = here.folder / "ai-engine.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"channels"', '"chanels"'))
    done = subprocess.run(
        [here.folder / ".venv/bin/ai-engine", "config", "check"],
        cwd=here.folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
    )
    assert done.returncode == 2
    assert "chanels" in done.stderr
    assert "channels" in done.stderr.replace("chanels", "")


def test_what_serve_prints_can_be_opened_and_the_link_works_once(here):
    here.run("ai-engine init --channel webchat --yes --lang en")
    with subprocess.Popen(
        ["ai-engine", "serve", "--port", "0"],
        executable=here.folder / ".venv/bin/ai-engine",
        cwd=here.folder,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if "/chat?code=" in line:
                break
        process.terminate()
        assert process.wait(timeout=30) == 0
    banner = "\n".join(lines)
    link = re.search(r"http://127\.0\.0\.1:\d+/chat\?code=\S+$", banner)
    assert link, f"no whole link on a line of its own:\n{banner}"
    assert len(link[0].split("code=")[1]) >= 22, "128 bits at least"
    assert "webchat" in banner
    assert "No model yet" in banner


@pytest.mark.requirement("deploy:bare-metal")
def test_one_machine_one_directory_a_restart_and_nothing_elsewhere(here, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    here.run("ai-engine init --channel webhook --app-secret-env BOT_SECRET --yes --lang en")
    start = f"HOME={home} XDG_CACHE_HOME={home} TMPDIR={home} ai-engine serve --data {tmp_path}/d"
    before = {path.name for path in here.folder.iterdir()}

    here.start(f"env {start}")
    status, answer = here.say("m-1", "/help", channel="webhook")
    assert status == 200
    assert "/new" in answer["replies"][0]["text"]
    assert here.end() == [0], "SIGTERM ends it well"

    here.start(f"env {start}")
    again = here.say("m-1", "/help", channel="webhook")
    assert again == (200, answer), "after a restart the stored reply, not a second turn"
    assert here.end() == [0]

    assert list(home.iterdir()) == []
    assert {path.name for path in here.folder.iterdir()} == before
    assert {"journal.db", "admin.token"} <= {path.name for path in (tmp_path / "d").iterdir()}
    assert stat.S_IMODE((tmp_path / "d" / "admin.token").stat().st_mode) == 0o600


def _recipe(target):
    """What `make target` runs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.search(rf"(?m)^{target}:.*\n\t@(.*)$", makefile)[1]


@pytest.mark.timeout(180)
@pytest.mark.requirement("practice:thirty-minutes")
def test_make_demo_shows_a_chat_that_answers_without_account_or_second_terminal(tmp_path):
    pull(tmp_path / "models", "smollm2", lambda line: None)
    with Sandbox(tmp_path / "here", models=tmp_path / "models") as sandbox:
        said = sandbox.start(_recipe("demo"))
        status, page = _get(said["page"])
        assert status == 200
        assert "<html" in page
        for text in ("明天有什么安排?", "北京天气", "Tell me a joke."):
            sent = _post(said["page"] + "sim/send", {"user": "zhang", "text": text})
            answer = _answer_to(said["page"], sent["message_id"])
            assert answer.strip(), text
            assert "抱歉" not in answer, f"{text}: {answer}"
            asked_in_chinese = bool(CHINESE.search(text))
            assert bool(CHINESE.search(answer)) == asked_in_chinese, f"{text}: {answer}"
        assert sandbox.end() == [0]


def _answer_to(page, message_id):
    """The bot's reply in the simulator's transcript."""
    deadline, after = time.monotonic() + 60, 0
    while time.monotonic() < deadline:
        _, found = _get(f"{page}sim/transcript?after={after}&wait=5")
        for entry in json.loads(found):
            if entry["reply_to"] == message_id:
                return entry["text"]
            after = entry["n"]
    raise AssertionError(f"no answer to {message_id}")
