"""How long durable writes wait for company."""

from ai_engine.journal.sqlite_writer import SYNC_SECONDS, Linger


def lingering(rate: float, seconds: float = 2.0) -> float:
    """How long after an fsync the next may begin, with durable operations at this rate."""
    linger = Linger()
    for n in range(int(rate * seconds)):
        linger.arrived(100 + n / rate)
    now = 100 + seconds
    linger.synced(now)
    return linger.until() - now


def test_nothing_waits_at_a_low_rate():
    assert lingering(2) == 0
    assert lingering(60) == 0


def test_there_are_at_most_sixty_fsyncs_a_second_at_a_high_rate():
    assert abs(lingering(600) - SYNC_SECONDS) < 1e-6
    assert abs(lingering(6000) - SYNC_SECONDS) < 1e-6
    assert 1 / 60 <= SYNC_SECONDS < 0.02


def test_the_wait_grows_with_the_rate():
    waits = [lingering(rate) for rate in (100, 200, 300, 400, 450)]
    assert waits == sorted(waits)
    assert 0 < waits[2] < SYNC_SECONDS


def test_the_wait_ends_when_the_load_ends():
    linger = Linger()
    for n in range(1000):
        linger.arrived(100 + n / 1000)
    linger.arrived(104)
    linger.synced(104)
    assert linger.until() == 104
