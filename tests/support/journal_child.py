"""Another process on the same journal file: `journal_child.py PATH accept FIRST COUNT` accepts
messages and ends; `journal_child.py PATH own` takes the first turn, says so, and never ends it."""

import asyncio
import sys
from pathlib import Path

from ai_engine.journal.sqlite import SqliteJournal

from support.journals import message


async def accept(path: Path, first: int, count: int) -> None:
    async with SqliteJournal(path) as journal:
        for n in range(first, first + count):
            receipt = await journal.accept(message(f"m{n}", id=f"p{n}"), "k")
            print("duplicate" if receipt.duplicate else "accepted", flush=True)


async def own(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        async for turn in journal.turns():
            print(f"running {turn.message.text}", flush=True)
            await asyncio.Event().wait()


def main() -> None:
    path, what = Path(sys.argv[1]), sys.argv[2]
    if what == "accept":
        asyncio.run(accept(path, int(sys.argv[3]), int(sys.argv[4])))
    else:
        asyncio.run(own(path))


if __name__ == "__main__":
    main()
