"""What every test shares."""

import pytest


@pytest.fixture
def anyio_backend():
    """Asynchronous tests run on asyncio with uvloop, as the engine does."""
    return ("asyncio", {"use_uvloop": True})
