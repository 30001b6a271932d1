"""The page's routes: signing in, files, and the headers that keep strangers out."""

from http.cookies import SimpleCookie
from types import SimpleNamespace

import aiohttp
import pytest

from ai_engine.security.access import COOKIE

from support.chat import ChatBench


class Browser:
    """A browser's cookies and nothing more; it does not follow redirects."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self._session.cookie_jar}

    async def get(self, path: str, **more) -> SimpleNamespace:
        return await self._ask("GET", path, **more)

    async def post(self, path: str, **more) -> SimpleNamespace:
        return await self._ask("POST", path, **more)

    async def _ask(self, method: str, path: str, **more) -> SimpleNamespace:
        async with self._session.request(method, path, allow_redirects=False, **more) as answer:
            content = await answer.read()
            return SimpleNamespace(
                status_code=answer.status,
                headers=answer.headers,
                content=content,
                text=content.decode(),
            )


class Web:
    """Makes browsers, each with cookies of its own."""

    def __init__(self, bench: ChatBench) -> None:
        self.access = bench.access
        self.url = bench.url
        self.opened: list[aiohttp.ClientSession] = []

    def __call__(self) -> Browser:
        jar = aiohttp.CookieJar(unsafe=True)
        self.opened.append(aiohttp.ClientSession(self.url, cookie_jar=jar))
        return Browser(self.opened[-1])


@pytest.fixture
async def web(tmp_path):
    bench = ChatBench(tmp_path)
    async with bench.serve():
        made = Web(bench)
        yield made
        for session in made.opened:
            await session.close()


def token(tmp_path) -> str:
    return (tmp_path / "admin.token").read_text().strip()


async def test_a_one_time_link_signs_in_and_disappears_from_the_address(web):
    client = web()
    answer = await client.get("/chat", params={"code": web.access.issue_code()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat")
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("strict", "/")
    assert not cookie["secure"]
    assert cookie["max-age"] == "43200"
    page = await client.get("/chat")
    assert page.status_code == 200
    assert "app.js" in page.text


async def test_over_tls_the_cookie_stays_on_tls(web):
    proxied = {"X-Forwarded-Proto": "https"}  # uvicorn believes a proxy on this machine
    code = web.access.issue_code()
    answer = await web().get("/chat", params={"code": code}, headers=proxied)
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_used_link_shows_the_sign_in_page(web):
    code = web.access.issue_code()
    await web().get("/chat", params={"code": code})
    answer = await web().get("/chat", params={"code": code})
    assert answer.status_code == 401
    assert "sign-in.js" in answer.text
    assert "set-cookie" not in answer.headers


async def test_without_a_session_the_page_is_the_sign_in_page(web):
    answer = await web().get("/chat")
    assert answer.status_code == 401
    assert "app.js" not in answer.text


async def test_a_bearer_token_opens_the_page(web, tmp_path):
    headers = {"Authorization": f"Bearer {token(tmp_path)}"}
    assert (await web().get("/chat", headers=headers)).status_code == 200


async def test_the_admin_token_signs_in_by_the_form(web, tmp_path):
    client = web()
    assert (await client.post("/chat/sign-in", data={"token": "wrong"})).status_code == 401
    answer = await client.post(
        "/chat/sign-in",
        data={"token": f" {token(tmp_path)} "},
        headers={"Origin": web.url},
    )
    assert answer.status_code == 303
    assert (await client.get("/chat")).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
@pytest.mark.parametrize("path", ["/chat/sign-in", "/chat/sign-out"])
async def test_another_sites_form_is_refused(web, tmp_path, path, origin):
    answer = await web().post(path, data={"token": token(tmp_path)}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_form_that_is_too_large_is_not_read(web):
    answer = await web().post("/chat/sign-in", data={"token": "x" * 5000})
    assert answer.status_code == 413


async def test_signing_out_ends_the_session_itself(web):
    client = web()
    await client.get("/chat", params={"code": web.access.issue_code()})
    session = client.cookies[COOKIE]
    assert (await client.post("/chat/sign-out")).status_code == 303
    assert COOKIE not in client.cookies
    assert (await client.get("/chat", headers={"Cookie": f"{COOKIE}={session}"})).status_code == 401


async def test_guessing_is_answered_with_patience(web, tmp_path):
    client = web()
    for _ in range(10):
        await client.get("/chat", params={"code": "guess"})
    answer = await client.get("/chat", params={"code": web.access.issue_code()})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_types_and_are_cached_by_their_content(web, name, kind):
    client = web()
    first = await client.get(f"/chat/static/{name}")
    assert first.headers["content-type"] == kind
    again = await client.get(
        f"/chat/static/{name}", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2f..%2f__init__.py", ""])
async def test_only_the_pages_own_files_are_served(web, name):
    assert (await web().get(f"/chat/static/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/chat", "/chat/static/app.js", "/chat/static/nothing"])
async def test_every_answer_carries_the_security_headers(web, path):
    headers = (await web().get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/chat", "/chat?code=x"])
async def test_pages_are_not_kept_by_caches(web, path):
    assert (await web().get(path)).headers["cache-control"] == "no-store"
