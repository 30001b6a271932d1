"""What is left to do once `ai-engine init` has written a configuration."""

import shlex
from pathlib import Path

from ai_engine.channels.types import about
from ai_engine.cli.init_answers import Answers
from ai_engine.cli.init_channel import WEBCHAT, WEBHOOK
from ai_engine.cli.init_texts import text
from ai_engine.cli.locate import FILE_NAME
from ai_engine.simulators.types import SIMULATED


def steps(answers: Answers, output: Path) -> list[str]:
    """Sentences in the language of the answers, in the order in which they are done."""
    lang, name = answers.lang, answers.channel
    platform = about(name)
    place = "" if output == Path(FILE_NAME) else f" --config {shlex.quote(str(output))}"
    made: list[str] = []
    if platform.permissions:
        command = f"ai-engine channels permissions {platform.type}"
        made.append(text("next.permissions", lang, command=command))
    serve = text("next.serve", lang, command=f"ai-engine serve{place}")
    made.append(serve)
    if name not in (WEBCHAT, WEBHOOK):
        command = f"ai-engine channels test {name}{place}"
        made.append(text("next.test", lang, command=command))
    host = text("next.host", lang)
    callback = f"https://{host}/api/message/{name}"
    for words in (*platform.steps.get(answers.mode, ()), *platform.steps.get("*", ())):
        step = words[0 if lang == "zh" else 1]
        made.append(step.format(callback=callback, name=name, host=host))
    if name == WEBCHAT:
        made.append(text("next.webchat", lang))
    if platform.type in SIMULATED:
        command = f"ai-engine verify {name}{place}"
        made.append(text("next.verify", lang, command=command))
    if not answers.model_url:
        made.append(text("next.model", lang))
    return made
