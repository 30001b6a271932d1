"""Ordered lanes: one in flight per key, a paused head, late arrivals at their own place."""

from dataclasses import dataclass

from ai_engine.journal.lanes import Lanes


@dataclass
class Item:
    seq: int


def filled(*numbers: int, key: str = "k") -> tuple[Lanes[Item], dict[int, Item]]:
    lanes: Lanes[Item] = Lanes()
    items = {n: Item(n) for n in numbers}
    for item in items.values():
        lanes.push(key, item)
    return lanes, items


def popped(lanes: Lanes[Item]) -> list[int]:
    found = []
    while (item := lanes.pop()) is not None:
        found.append(item.seq)
    return found


def drained(lanes: Lanes[Item], key: str = "k") -> list[int]:
    found = []
    while (item := lanes.pop()) is not None:
        found.append(item.seq)
        lanes.done(key)
    return found


def test_a_lane_gives_one_item_until_it_is_done():
    lanes, _ = filled(1, 2)
    assert popped(lanes) == [1]
    assert (len(lanes), lanes.busy) == (1, 1)
    lanes.done("k")
    assert popped(lanes) == [2]
    lanes.done("k")
    assert (len(lanes), lanes.busy, list(lanes)) == (0, 0, [])


def test_lanes_are_served_in_turn():
    lanes: Lanes[Item] = Lanes()
    for n, key in enumerate("abca"):
        lanes.push(key, Item(n))
    assert popped(lanes) == [0, 1, 2]


def test_a_late_item_takes_the_place_of_its_number():
    lanes, _ = filled(1, 5, 9)
    lanes.push("k", Item(7))
    lanes.push("k", Item(0))
    assert drained(lanes) == [0, 1, 5, 7, 9]


def test_a_paused_head_stays_the_head_and_holds_the_lane():
    lanes, items = filled(5, 6)
    assert lanes.pop() is items[5]
    lanes.again("k", items[5], 100.0)
    lanes.push("k", Item(1))
    assert lanes.pop() is None
    assert lanes.next_due() == 100.0
    lanes.promote(99.9)
    assert lanes.pop() is None
    lanes.promote(100.0)
    assert lanes.next_due() is None
    assert drained(lanes) == [5, 1, 6]


def test_a_pause_that_was_replaced_ends_at_its_new_time():
    lanes, items = filled(1)
    lanes.pop()
    lanes.again("k", items[1], 50.0)
    lanes.hold("k", 80.0)
    lanes.promote(60.0)
    assert lanes.pop() is None
    lanes.promote(80.0)
    assert lanes.pop() is items[1]


def test_an_item_given_back_is_the_next_at_once():
    lanes, items = filled(1, 2)
    lanes.pop()
    lanes.again("k", items[1], 0.0)
    assert drained(lanes) == [1, 2]


def test_taking_a_paused_head_out_frees_the_lane():
    heads: list[int] = []
    lanes: Lanes[Item] = Lanes(lambda item: heads.append(item.seq))
    for n in (1, 2, 3):
        lanes.push("k", Item(n))
    first = lanes.pop()
    assert first is not None
    lanes.again("k", first, 100.0)
    taken = lanes.take("k", lambda item: item.seq != 3)
    assert [item.seq for item in taken] == [1, 2]
    assert heads == [3]
    assert drained(lanes) == [3]
    lanes.promote(200.0)
    assert lanes.pop() is None


def test_taking_everything_removes_the_lane_and_taking_nothing_leaves_it():
    lanes, _ = filled(1, 2)
    assert lanes.take("k", lambda _: False) == []
    assert lanes.take("other", lambda _: True) == []
    assert len(lanes.take("k", lambda _: True)) == 2
    assert len(lanes) == 0
    assert lanes.pop() is None
    lanes.push("k", Item(3))
    assert popped(lanes) == [3]


def test_taking_behind_an_item_in_flight_leaves_that_one_alone():
    lanes, _ = filled(1, 2, 3)
    lanes.pop()
    lanes.take("k", lambda item: item.seq == 2)
    assert lanes.pop() is None
    lanes.done("k")
    assert popped(lanes) == [3]


def test_clear_forgets_everything():
    lanes, items = filled(1, 2)
    lanes.pop()
    lanes.again("k", items[1], 9.0)
    lanes.clear()
    lanes.promote(10.0)
    assert (len(lanes), lanes.busy, lanes.pop(), lanes.next_due()) == (0, 0, None, None)
