"""The configuration in force while the engine runs, and the watching of its files."""

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ai_engine.config.watch import LiveConfig, watch
from ai_engine.domain.errors import ConfigInvalid

from support.settings import TYPES, write

SOON = 0.02


def live(path: Path, **options) -> LiveConfig:
    return LiveConfig(path, **{"channel_types": TYPES, "environ": {}, **options})


async def test_a_changed_configuration_comes_into_force_as_a_whole(tmp_path):
    config = live(write(tmp_path, {"language": "zh"}))
    write(tmp_path, {"language": "en", "log": {"level": "debug"}})
    loaded = await config.reload()
    assert loaded is config.current
    assert (loaded.config.language, loaded.config.log.level) == ("en", "debug")
    assert config.problems == ()
    assert config.last_error == ""


async def test_a_wrong_configuration_leaves_the_last_good_one_in_force(tmp_path, caplog):
    config = live(write(tmp_path, {"language": "en"}))
    good = config.current
    write(tmp_path, {"language": "zh", "log": {"level": "loud"}})
    assert await config.reload() is None
    assert config.current is good
    assert [p.where for p in config.problems] == ["ai-engine.json: $.log.level"]
    assert "$.log.level" in config.last_error
    assert "stays in force" in caplog.text
    write(tmp_path, {"language": "zh"})
    assert (await config.reload()).config.language == "zh"
    assert not config.last_error


async def test_an_engine_does_not_begin_with_a_wrong_configuration(tmp_path):
    with pytest.raises(ConfigInvalid):
        live(write(tmp_path, {"language": "fr"}))


async def test_an_overlay_that_vanishes_is_a_fault_not_a_change(tmp_path):
    path = write(tmp_path, {"language": "zh"})
    overlay = write(tmp_path, {"language": "en"}, "ai-engine.prod.json")
    config = live(path, env="prod")
    overlay.unlink()
    assert await config.reload() is None
    assert config.current.config.language == "en"
    assert "ai-engine.prod.json" in config.last_error


async def test_an_overlay_may_come_later(tmp_path):
    config = live(write(tmp_path, {"language": "zh"}), env="prod")
    assert tmp_path / "ai-engine.prod.json" in config.files
    write(tmp_path, {"language": "en"}, "ai-engine.prod.json")
    assert (await config.reload()).config.language == "en"


async def test_files_that_a_failed_attempt_looked_for_are_watched(tmp_path):
    config = live(write(tmp_path))
    write(tmp_path, {"routing_rules": "later.yaml"})
    assert await config.reload() is None
    assert tmp_path / "later.yaml" in config.files
    write(tmp_path, "routing_rules: []\n", "later.yaml")
    assert await config.reload()


async def test_reloads_at_the_same_time_end_with_the_newest(tmp_path):
    config = live(write(tmp_path, {"language": "zh"}))
    write(tmp_path, {"language": "en"})
    await asyncio.gather(*[config.reload() for _ in range(5)])
    assert config.current.config.language == "en"


@asynccontextmanager
async def watching(files, *, poll_seconds=SOON):
    """Counts changes in a queue while a watch runs; the watch is idle before the body begins."""
    changes: asyncio.Queue[int] = asyncio.Queue()

    async def on_change():
        changes.put_nowait(1)

    looks = asyncio.Semaphore(0)

    def looked():
        looks.release()
        return files

    task = asyncio.create_task(
        watch(looked, on_change, poll_seconds=poll_seconds, debounce_seconds=SOON)
    )
    async with asyncio.timeout(5):
        await looks.acquire()  # what the files were before
        await looks.acquire()  # which folders they are in
        try:
            yield changes
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert task.cancelled()


async def test_a_file_replaced_by_a_rename_is_seen_again_and_again(tmp_path):
    path = write(tmp_path, {"language": "zh"})
    async with watching([path]) as changes:
        for language in ("en", "zh", "en"):
            write(tmp_path, {"language": language})
            await changes.get()


async def test_a_change_of_mode_is_a_change(tmp_path):
    path = write(tmp_path)
    async with watching([path]) as changes:
        path.chmod(0o644)
        await changes.get()


async def test_a_turned_configmap_link_is_seen(tmp_path):
    for version in ("..v1", "..v2"):
        (tmp_path / version).mkdir()
        write(tmp_path / version, {"log": {"level": "info"}})
    (tmp_path / "..data").symlink_to("..v1")
    path = tmp_path / "ai-engine.json"
    path.symlink_to("..data/ai-engine.json")
    async with watching([path]) as changes:
        (tmp_path / "..data_tmp").symlink_to("..v2")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
        await changes.get()
        write(tmp_path / "..v2", {"log": {"level": "debug"}})
        await changes.get()


async def test_a_file_and_a_folder_that_come_later_are_seen(tmp_path):
    late = tmp_path / "run" / "secrets" / "key"
    async with watching([write(tmp_path), late]) as changes:
        late.parent.mkdir(parents=True)
        late.write_text("1")
        await changes.get()
        late.unlink()
        await changes.get()


async def test_other_files_in_the_folder_do_not_matter(tmp_path, caplog):
    caplog.set_level("DEBUG")  # a log file beside the configuration would report its own lines
    path = write(tmp_path)
    async with watching([path]) as changes:
        for n in range(20):
            (tmp_path / f"other{n}").write_text("x")
        write(tmp_path, {"language": "en"})
        await changes.get()
        assert changes.empty()
    assert not [record for record in caplog.records if record.name.startswith("watchfiles")]


async def test_the_kernels_news_is_heard_without_polling(tmp_path):
    path = write(tmp_path)
    async with watching([path], poll_seconds=600) as changes:
        # The kernel's watch begins a moment after the first look, so write until it is heard.
        while changes.empty():
            write(tmp_path, {"language": "en"})
            with suppress(TimeoutError):
                await asyncio.wait_for(changes.get(), 0.1)
                return


async def test_without_kernel_watches_polling_remains(tmp_path, monkeypatch):
    async def none_left(*_paths, **_options):
        raise OSError("OS file watch limit reached")
        yield

    monkeypatch.setattr("watchfiles.awatch", none_left)
    path = write(tmp_path)
    async with watching([path]) as changes:
        for language in ("en", "zh"):
            write(tmp_path, {"language": language})
            await changes.get()


async def test_a_live_configuration_follows_its_files(tmp_path):
    config = live(write(tmp_path, {"language": "zh"}))
    done = asyncio.Event()

    async def on_change():
        if loaded := await config.reload():
            assert loaded.config.language == "en"
            done.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(config.watch(on_change, poll_seconds=SOON))
        while not done.is_set():
            write(tmp_path, {"language": "en"})
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.1)
        task.cancel()
