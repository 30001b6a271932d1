"""What `/readyz` says."""

from ai_engine.channels.base import Status
from ai_engine.observe.health import Health


def test_unready_until_started_and_while_draining():
    health = Health()
    assert not health.readiness().ready
    assert health.readiness().reasons[0].startswith("starting: ")
    health.start()
    assert health.readiness().ready
    health.drain()
    assert health.readiness().reasons == (
        "draining: the engine is stopping and takes no new messages",
    )


def test_each_failing_check_is_named_with_its_reason():
    health = Health()
    health.start()
    health.register("journal", lambda: "the disk is full; free some space")
    health.register("model", lambda: None)
    readiness = health.readiness()
    assert not readiness.ready
    assert readiness.reasons == ("journal: the disk is full; free some space",)
    health.unregister("journal")
    assert health.readiness().ready


def test_a_check_that_breaks_means_not_ready():
    health = Health()
    health.start()
    health.register("broken", lambda: str(1 // 0))
    assert health.readiness().reasons == ("broken: the check itself failed (ZeroDivisionError)",)


def test_a_failing_channel_is_shown_and_does_not_make_the_engine_unready():
    health = Health()
    health.start()
    health.watch_channels(
        lambda: {
            "dingtalk": Status(
                state="failing", detail="401", last_event_age_seconds=3.25, connected=False
            ),
            "webhook": Status(state="ready"),
        }
    )
    assert health.readiness().as_json() == {
        "ready": True,
        "reasons": [],
        "channels": {
            "dingtalk": {
                "state": "failing",
                "connected": False,
                "detail": "401",
                "last_event_age_seconds": 3.25,
            },
            "webhook": {"state": "ready", "connected": True},
        },
    }
