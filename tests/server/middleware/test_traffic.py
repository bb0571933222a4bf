"""Who is let in, and when a drain is over."""

import pytest

from fairlead_server.drain import SETTLE_SECONDS
from fairlead_server.middleware.replies import Refused
from fairlead_server.middleware.traffic import Traffic


@pytest.fixture
def traffic(clock):
    return Traffic(max_in_flight=2, clock=clock)


def refusal(traffic):
    with pytest.raises(Refused) as caught, traffic.admitted():
        pass
    return caught.value


def test_as_many_as_the_limit_are_let_in(traffic):
    with traffic.admitted(), traffic.admitted():
        assert traffic.in_flight == 2
        refused = refusal(traffic)
        assert refused.status == 429
        assert (b"retry-after", b"1") in refused.headers
        assert "spec.limits.maxQueuedRequests" in refused.message
    assert traffic.in_flight == 0


def test_a_request_that_fails_gives_its_place_back(traffic):
    with pytest.raises(ZeroDivisionError), traffic.admitted():
        raise ZeroDivisionError
    assert traffic.in_flight == 0


def test_requests_are_still_served_while_the_drain_settles(traffic, clock):
    assert not traffic.drain(stuck=False).done
    clock.now += SETTLE_SECONDS - 0.1
    with traffic.admitted():
        assert traffic.draining
        assert traffic.in_flight == 1


def test_requests_are_sent_elsewhere_once_the_drain_has_settled(traffic, clock):
    traffic.drain(stuck=False)
    clock.now += SETTLE_SECONDS
    refused = refusal(traffic)
    assert refused.status == 503
    assert {(b"retry-after", b"1"), (b"connection", b"close")} <= set(refused.headers)


def test_a_drain_is_done_when_it_settled_and_nothing_runs(traffic, clock):
    with traffic.admitted():
        traffic.drain(stuck=False)
        clock.now += SETTLE_SECONDS
        drained = traffic.drain(stuck=False)
        assert (drained.in_flight, drained.done) == (1, False)
    assert traffic.drain(stuck=False).done


def test_asking_again_does_not_begin_again(traffic, clock):
    for _ in range(5):
        traffic.drain(stuck=False)
        clock.now += SETTLE_SECONDS / 5
    assert traffic.drain(stuck=False).done


def test_a_stuck_engine_is_not_waited_for(traffic):
    with traffic.admitted():
        assert traffic.drain(stuck=True).done
