"""Looks at a number of Prometheus again and again until it is what is waited for."""

from collections.abc import Callable

from fairlead_airflow import comparisons, waiting
from fairlead_airflow.httpconnection import HttpConnection, InvalidConnection
from fairlead_api import outcome


class Measure:
    """A query, what its number must be, and for how long."""

    def __init__(
        self,
        query: str,
        bounds: comparisons.Bounds,
        hold_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.query = query
        self._hold = comparisons.Hold(bounds, hold_seconds, clock)
        self.value: float | None = None
        """The number of the last look, if it gave one."""

    async def look(self, connection: HttpConnection) -> waiting.Seen:
        """Ask once; what may mend itself is waited for."""
        from fairlead_airflow import prometheus  # aiohttp: not when a DAG file is read

        self.value = None
        try:
            self.value = await prometheus.value(connection, self.query)
        except (prometheus.NoData, prometheus.Away) as unknown:
            return self._hold.unknown(str(unknown))
        except prometheus.QueryRefused as refused:
            return outcome.Failed("QueryRefused", str(refused))
        except InvalidConnection as invalid:
            return outcome.Failed("InvalidConnection", str(invalid))
        return self._hold.judge(self.value)

    def unknown(self, why: str) -> outcome.Waiting:
        """What it means that nobody could be asked."""
        return self._hold.unknown(why)

    def pause(self, seconds: float) -> float:
        """Until the next look: no longer than until it has held."""
        return min(seconds, max(self._hold.left(), 1.0))
