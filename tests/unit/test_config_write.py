"""Private files are written whole or not at all."""

import errno
import os
import stat

import pytest

from ai_engine.config.write import write_private


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert (tmp_path / "a").read_text() == "text"
    assert names(tmp_path) == ["a"]


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(tmp_path):
    write_private(tmp_path / "a", "old")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    write_private(tmp_path / "a", "new", replace=True)
    assert (tmp_path / "a").read_text() == "new"
    assert names(tmp_path) == ["a"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    write_private(tmp_path / "a", "old")

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ai_engine.config.write.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "a", "new", replace=True)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_file_system_without_links_is_served_too(tmp_path, monkeypatch):
    def no_links(*_args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("ai_engine.config.write.os.link", no_links)
    write_private(tmp_path / "a", "text")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "text"
    assert names(tmp_path) == ["a"]
