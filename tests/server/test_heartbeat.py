"""What counts as a sign of life, with vLLM's own report types."""

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("vllm", reason="vLLM is missing: the e2e tier runs this in the image")


@pytest.fixture
def heartbeat():
    from fairlead_server.heartbeat import Heartbeat

    return Heartbeat(vllm_config=None, engine_indexes=[0])


@pytest.fixture
def signs(heartbeat, monkeypatch):
    """What the heartbeat told its progress."""
    told = []
    monkeypatch.setattr(
        heartbeat.progress, "iterated", lambda moved_tokens: told.append(moved_tokens)
    )
    return told


def scheduler(usage=0.0):
    from vllm.v1.metrics.stats import SchedulerStats

    return SchedulerStats(num_running_reqs=1, kv_cache_usage=usage)


def iteration(num_generated):
    from vllm.v1.metrics.stats import IterationStats

    stats = IterationStats()
    stats.num_generation_tokens = num_generated
    return stats


def test_it_is_what_vllm_takes_for_a_logger(heartbeat):
    from vllm.v1.metrics.loggers import AggregateStatLoggerBase

    assert isinstance(heartbeat, AggregateStatLoggerBase)


def test_a_generated_token_is_movement(heartbeat, signs):
    heartbeat.record(scheduler(), iteration(1))
    assert signs == [True]


def test_a_prefill_without_a_token_yet_is_movement_as_long_as_the_cache_fills(heartbeat, signs):
    for usage in (0.1, 0.2, 0.2):
        heartbeat.record(scheduler(usage), None)
    assert signs == [True, True, False]


def test_an_iteration_that_moves_nothing_is_a_sign_of_life_only(heartbeat, signs):
    heartbeat.record(scheduler(), iteration(0))
    assert signs == [False]


def test_a_report_from_outside_the_engine_is_no_sign_of_life(heartbeat, signs):
    heartbeat.record(None, iteration(1))
    assert signs == []
