"""When an engine counts as standing still, by an own clock."""

import pytest

from fairlead_server.progress import Progress


@pytest.fixture
def progress(clock):
    return Progress(clock)


def ages(progress):
    return progress.seconds_without_iteration, progress.seconds_without_tokens


def test_it_counts_from_the_start(progress, clock):
    clock.now += 5
    assert ages(progress) == (5, 5)


def test_a_token_resets_both(progress, clock):
    clock.now += 5
    progress.iterated(moved_tokens=True)
    clock.now += 2
    assert ages(progress) == (2, 2)


def test_an_iteration_without_tokens_is_life_but_no_movement(progress, clock):
    clock.now += 5
    progress.iterated(moved_tokens=False)
    clock.now += 2
    assert ages(progress) == (2, 7)


def test_idleness_is_no_standstill(progress, clock):
    clock.now += 500
    progress.idle()
    clock.now += 1
    assert ages(progress) == (1, 1)


def test_an_engine_that_clients_gave_up_on_is_idle_only_after_an_iteration(progress, clock):
    progress.doubt()
    clock.now += 40
    progress.idle()
    assert progress.doubted
    assert ages(progress) == (40, 40)
    progress.iterated(moved_tokens=False)
    progress.idle()
    assert not progress.doubted
    assert ages(progress) == (0, 0)
