"""A running weather service for tests: the simulator on a port of its own, with a given time."""

from typing import Self

from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.simulators.open_meteo import Fault, OpenMeteoSimulator


class OpenMeteo:
    """`async with OpenMeteo() as api: api.base_url`, for geocoding and forecast alike."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.simulator = OpenMeteoSimulator(clock)
        self.base_url = ""

    def fail(self, status: int = 500, body: bytes = b"", *, times: int = 1) -> None:
        """Answer the next requests so."""
        body = body or b'{"reason":"simulated fault","error":true}'
        self.simulator.faults.extend([Fault(status=status, body=body)] * times)

    def hang(self) -> None:
        """Never answer the next request."""
        self.simulator.faults.append(Fault(hang=True))

    @property
    def requests(self) -> list[tuple[str, dict[str, str]]]:
        """Path and query of what was asked so far."""
        return list(self.simulator.requests)

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.simulator.app(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
