"""vLLM calls this after every iteration of the engine; it keeps ``progress``.

The one module that imports vLLM, found by it through the entry point group
``vllm.stat_logger_plugins``. vLLM's own counters don't do: they stand still in a long prefill.
"""

from typing import TYPE_CHECKING, Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase

from fairlead_server.progress import Progress

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.metrics.stats import IterationStats, SchedulerStats


class Heartbeat(AggregateStatLoggerBase):  # type: ignore[misc]  # vLLM isn't in the gates' venv
    """Turns the engine's reports into signs of life."""

    def __init__(self, vllm_config: "VllmConfig", engine_indexes: list[int]) -> None:
        self.progress = Progress()
        self._kv_cache_usage = 0.0

    def record(
        self,
        scheduler_stats: "SchedulerStats | None",
        iteration_stats: "IterationStats | None",
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Note one iteration; a prefill shows in the KV cache before its first token."""
        if scheduler_stats is None:
            return
        usage = scheduler_stats.kv_cache_usage
        moved = usage != self._kv_cache_usage or (
            iteration_stats is not None
            and iteration_stats.num_generation_tokens + iteration_stats.num_prompt_tokens > 0
        )
        self._kv_cache_usage = usage
        self.progress.iterated(moved)

    def log_engine_initialized(self) -> None:
        """Nothing to say: vLLM's own loggers do."""
