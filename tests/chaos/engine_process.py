"""The engine as the chaos test runs it: the real one, with a hook that kills it at a named step.

The hook exists only here: the parts are wrapped through `engine.Wrap`. `--crash-at STEP:N` sends
SIGKILL to the process at the N-th time it passes the step.
"""

import argparse
import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import uvloop

from ai_engine.cli.server import Listener, serving, until_signal
from ai_engine.cli.settings import live_config
from ai_engine.domain.skill import Tool, ToolResult
from ai_engine.engine import Options, Wrap

STEPS = (
    "accepted",
    "started",
    "checkpointed",
    "effect",
    "model",
    "committed",
    "sent",
    "delivered",
)


class Trap:
    """Kills the process when the step is reached for the n-th time."""

    def __init__(self, at: str) -> None:
        self.step, _, n = at.partition(":")
        self.left = int(n or 1)

    def passes(self, step: str) -> None:
        if step == self.step:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Around:
    """Everything as the wrapped part does it, but for what a subclass says."""

    def __init__(self, inner, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap

    def __getattr__(self, name):
        return getattr(self._inner, name)


class JournalAround(Around):
    async def accept(self, *args, **more):
        receipt = await self._inner.accept(*args, **more)
        self._trap.passes("accepted")
        return receipt

    async def turns(self, *lane):
        async for turn in self._inner.turns(*lane):
            self._trap.passes("started")
            yield turn

    async def checkpoint(self, *args):
        await self._inner.checkpoint(*args)
        self._trap.passes("checkpointed")

    async def commit(self, *args):
        n = await self._inner.commit(*args)
        self._trap.passes("committed")
        return n

    async def delivered(self, *args, **more):
        await self._inner.delivered(*args, **more)
        if self._trap.step == "delivered":
            await asyncio.sleep(0.2)  # it is written within 50 ms: the step is "written"
            self._trap.passes("delivered")


class ChannelAround(Around):
    async def send(self, outgoing):
        await self._inner.send(outgoing)
        self._trap.passes("sent")


class AssistantAround(Around):
    async def run(self, *args):
        result = await self._inner.run(*args)
        self._trap.passes("model")
        return result


def effect_tool(log: Path, trap: Trap, *, name: str, idempotent: bool) -> Tool:
    """Appends its key to its own log: the tool's own record of its effects."""

    async def invoke(arguments, context):
        with log.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"key": context.idempotency_key, "what": arguments}) + "\n")
            out.flush()
            os.fsync(out.fileno())
        trap.passes("effect")
        return ToolResult(text=f"done {arguments['what']}")

    return Tool(
        name=name,
        description="Write down an effect.",
        parameters={"type": "object", "properties": {"what": {"type": "string"}}},
        invoke=invoke,
        permission="skill:calendar_add.use",
        idempotent=idempotent,
        from_text=lambda text, _: {"what": text},
    )


async def main(options) -> None:
    trap = Trap(options.crash_at)
    effects = Path(options.data).parent / "effects.log"
    tools = [
        effect_tool(effects, trap, name="once", idempotent=False),
        effect_tool(effects, trap, name="again", idempotent=True),
    ]
    live = live_config(Path(options.config))
    engine_options = Options(
        live=live,
        data=Path(options.data),
        wrap=Wrap(
            journal=lambda journal: JournalAround(journal, trap),
            channel=lambda channel: ChannelAround(channel, trap),
            assistant=lambda assistant: AssistantAround(assistant, trap),
            tools=lambda known: {**known, **{tool.name: tool for tool in tools}},
        ),
    )
    listener = Listener(host="127.0.0.1", port=options.port)
    async with serving(engine_options, listener) as (_, url):
        print(json.dumps({"event": "ready", "url": url}), flush=True)
        await until_signal()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--config", "--data"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--crash-at", default="never")
    with suppress(KeyboardInterrupt):
        uvloop.run(main(parser.parse_args()))
