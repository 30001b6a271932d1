"""Who may come in."""

import os
import stat

import pytest

from ai_engine.domain.errors import ConfigInvalid, Throttled
from ai_engine.security.access import ADMIN, COOKIE, Access, AccessLimits, Identity

from support.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def access(tmp_path, clock):
    return Access(tmp_path, clock)


def token(path) -> str:
    return (path / "admin.token").read_text().strip()


def cookie(session: str) -> dict[str, str]:
    return {"cookie": f"theme=dark; {COOKIE}={session}; $odd"}


def test_the_first_start_makes_a_token_that_only_its_owner_can_read(access, tmp_path):
    assert stat.S_IMODE((tmp_path / "admin.token").stat().st_mode) == 0o600
    assert len(token(tmp_path)) == 43
    assert [file.name for file in tmp_path.iterdir()] == ["admin.token"]


def test_the_next_start_keeps_the_token(access, tmp_path, clock):
    before = token(tmp_path)
    assert Access(tmp_path, clock).verify(before)
    assert token(tmp_path) == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused_with_the_command_that_mends_it(
    access, tmp_path, clock, mode
):
    (tmp_path / "admin.token").chmod(mode)
    with pytest.raises(ConfigInvalid) as error:
        Access(tmp_path, clock)
    assert "chmod 600" in error.value.problems[0].fix
    assert token(tmp_path) not in str(error.value)


def test_an_empty_token_file_is_refused(tmp_path, clock):
    file = tmp_path / "admin.token"
    file.touch(0o600)
    with pytest.raises(ConfigInvalid, match="holds no token"):
        Access(tmp_path, clock)


def test_a_link_in_place_of_the_token_file_is_not_followed(tmp_path, clock):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 43)
    elsewhere.chmod(0o600)
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin.token").symlink_to(elsewhere)
    with pytest.raises(ConfigInvalid):
        Access(data, clock)


def test_a_folder_in_place_of_the_token_file_is_refused(tmp_path, clock):
    (tmp_path / "admin.token").mkdir(0o700)
    with pytest.raises(ConfigInvalid):
        Access(tmp_path, clock)


def test_a_missing_data_directory_is_named(tmp_path, clock):
    with pytest.raises(ConfigInvalid, match="nowhere"):
        Access(tmp_path / "nowhere", clock)


@pytest.mark.parametrize("wrong", ["", "x", "ü", "\udc80", "x" * 10_000])
def test_only_the_token_itself_is_the_token(access, tmp_path, wrong):
    assert access.verify(token(tmp_path))
    assert not access.verify(wrong)
    assert not access.verify(token(tmp_path)[:-1])


def test_a_bearer_token_makes_the_administrator(access, tmp_path):
    headers = {"authorization": f"Bearer {token(tmp_path)}"}
    assert access.authenticate(headers) == ADMIN
    assert access.authenticate({"authorization": "Bearer no"}) is None
    assert access.authenticate({"authorization": "Basic no"}) is None
    assert access.authenticate({}) is None


def test_a_code_opens_one_browser_session_once(access):
    code = access.issue_code()
    session = access.redeem(code)
    assert session
    assert access.authenticate(cookie(session)) == ADMIN
    assert access.redeem(code) is None
    assert len(code) == 22


def test_a_code_opens_the_session_of_the_person_that_it_was_made_for(access):
    ann = Identity(user_id="ann", roles=("employee",))
    session = access.redeem(access.issue_code(ann))
    assert session
    assert access.browser(cookie(session)) == ann


async def test_a_code_dies_after_ten_minutes(access, clock):
    early, late = access.issue_code(), access.issue_code()
    await clock.advance(599)
    assert access.redeem(early)
    await clock.advance(1)
    assert access.redeem(late) is None


async def test_a_browser_session_dies_after_twelve_hours(access, clock):
    session = access.redeem(access.issue_code())
    assert session
    assert access.session_seconds == 43_200
    await clock.advance(43_199)
    assert access.browser(cookie(session)) == ADMIN
    await clock.advance(1)
    assert access.browser(cookie(session)) is None


def test_a_further_code_or_session_ends_the_oldest(tmp_path, clock):
    access = Access(tmp_path, clock, AccessLimits(codes_max=2, sessions_max=2))
    codes = [access.issue_code() for _ in range(3)]
    assert access.redeem(codes[0]) is None
    sessions = [access.redeem(code) for code in codes[1:]]
    newest = access.redeem(access.issue_code())
    live = [access.browser(cookie(session or "")) for session in (*sessions, newest)]
    assert live == [None, ADMIN, ADMIN]


def test_signing_out_ends_the_session(access):
    session = access.redeem(access.issue_code())
    assert session
    access.log_out(cookie(session))
    assert access.browser(cookie(session)) is None


def test_the_admin_token_can_be_exchanged_for_a_browser_session(access, tmp_path):
    session = access.log_in(token(tmp_path))
    assert session
    assert access.browser(cookie(session)) == ADMIN
    assert access.log_in("wrong") is None


def test_secrets_are_not_kept_in_memory(access, tmp_path):
    code = access.issue_code()
    session = access.redeem(access.issue_code())
    held = repr(
        [vars(part) if hasattr(part, "__dict__") else part for part in vars(access).values()]
    )
    assert not any(secret in held for secret in (code, session, token(tmp_path)))


async def test_after_ten_wrong_proofs_an_address_waits_a_minute(access, tmp_path, clock):
    for _ in range(5):
        assert access.bearer("guess", "10.0.0.1") is None
        assert access.redeem("guess", "10.0.0.1") is None
    with pytest.raises(Throttled) as refused:
        access.bearer(token(tmp_path), "10.0.0.1")
    assert refused.value.retry_after_seconds == 61
    assert access.bearer(token(tmp_path), "10.0.0.2") == ADMIN
    await clock.advance(60)
    assert access.bearer(token(tmp_path), "10.0.0.1") == ADMIN


def test_a_throttled_guess_does_not_use_up_a_code(access):
    code = access.issue_code()
    for _ in range(10):
        access.redeem("guess", "10.0.0.1")
    with pytest.raises(Throttled):
        access.redeem(code, "10.0.0.1")
    assert access.redeem(code, "10.0.0.2")


def test_an_old_cookie_is_no_guess(access, tmp_path):
    for _ in range(50):
        assert access.authenticate(cookie("from-before-the-restart"), "10.0.0.1") is None
    assert access.bearer(token(tmp_path), "10.0.0.1") == ADMIN


def test_addresses_of_one_ipv6_network_are_one(access, tmp_path):
    for n in range(10):
        access.bearer("guess", f"2001:db8::{n:x}")
    with pytest.raises(Throttled):
        access.bearer(token(tmp_path), "2001:db8::ffff")
    assert access.bearer(token(tmp_path), "2001:db8:0:1::1") == ADMIN


def test_the_count_of_failures_is_bounded(tmp_path, clock):
    access = Access(tmp_path, clock, AccessLimits(remotes_max=2, failures_max=1))
    for remote in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        access.bearer("guess", remote)
    assert access.bearer("guess", "10.0.0.1") is None
    with pytest.raises(Throttled):
        access.bearer("guess", "10.0.0.3")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_data_directory_that_cannot_be_written_is_named(tmp_path, clock):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigInvalid, match="writable"):
        Access(tmp_path, clock)
