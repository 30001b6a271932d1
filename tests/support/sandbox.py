"""A folder in which documented commands run as printed, beside a real engine."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from support.docs import ROOT
from support.signing import webhook_request

SECRET = "a-secret-of-the-sandbox-0123456789"
BIN = Path(sys.executable).parent
LONG_RUNNING = re.compile(r"ai-engine (serve|demo|simulate \w+|model serve \w+)\b")


class Sandbox:
    """`.venv/bin/ai-engine` and `ai-engine` work in it; what runs for long is ended on leaving."""

    def __init__(self, folder: Path, *, models: Path | None = None):
        self.folder = folder
        self.url = ""
        self.names: dict[str, str] = {}
        """Placeholders of the documentation (`MESSAGE_ID`) → what they stand for here."""
        self._running: list[subprocess.Popen] = []
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AI_ENGINE_")},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "BOT_SECRET": SECRET,
            "LANG": "en_US.UTF-8",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "no_proxy": "127.0.0.1",
        }
        if models is not None:
            self._env["AI_ENGINE_MODELS"] = str(models)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)

    def run(self, script: str, *, answers: str = "", seconds: float = 60) -> str:
        """Standard output of lines that end by themselves; fails as soon as one of them does."""
        for name, value in self.names.items():
            script = re.sub(rf"\b{name}\b", value, script)
        if self.url:
            script = re.sub(r"http://127\.0\.0\.1:\d+", self.url, script)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._env,
            input=answers,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=seconds,
        )
        assert done.returncode == 0, (
            f"{script}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def start(self, command: str) -> dict:
        """Start what runs until it is told to end; its first JSON line: it is ready."""
        command = f"{command} --json --port 0"
        if " demo " in command:
            command += " --simulator-port 0"
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )
            self._running.append(process)
            line = process.stdout.readline()
            while line and not line.startswith("{"):
                line = process.stdout.readline()
            log.seek(0)
            assert line, f"{command} did not start:\n{log.read().decode()[-4000:]}"
        said = json.loads(line)
        assert "error" not in said, f"{command} did not start: {said}"
        if "ai-engine serve" in command or "ai-engine demo" in command:
            self.url = said["url"]
        return said

    def prepare(self) -> None:
        """A checked configuration, a running engine, and one message that was answered."""
        self.run("ai-engine init --channel webhook --app-secret-env BOT_SECRET --yes --lang en")
        path = self.folder / "ai-engine.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["channels"]["bot"] = {"type": "webhook", **config["channels"].pop("webhook")}
        rules = [{"pattern": "^@bot", "action": "trigger_skill", "skill_id": "calendar_query"}]
        config["routing_rules"] = rules
        path.write_text(json.dumps(config), encoding="utf-8")
        self.start("ai-engine serve")
        self.say("m-first", "@bot today")
        sessions = json.loads(self.run("ai-engine sessions list --json"))
        self.names |= {"MESSAGE_ID": "m-first", "SESSION_ID": sessions[0]["session_id"]}

    def say(self, message_id: str, text: str, *, channel: str = "bot", secret: str = SECRET):
        """Write to the webhook channel and wait for the answer: (status, its JSON)."""
        message = {"message_id": message_id, "session": "s-1", "user": "u-1", "text": text}
        body, headers = webhook_request(message, secret, time.time())
        url = f"{self.url}/api/message/{channel}?wait=true"
        request = urllib.request.Request(url, data=body, headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=20) as response:
            return response.status, json.load(response)

    def end(self) -> list[int]:
        """SIGTERM to all that still runs, last one first; their exit statuses."""
        statuses = []
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                statuses.append(process.wait(timeout=30))
            except subprocess.TimeoutExpired:
                process.kill()
                statuses.append(process.wait())
            process.stdout.close()
        self._running.clear()
        return statuses

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def targets() -> set[str]:
    """The Makefile's targets."""
    return set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
