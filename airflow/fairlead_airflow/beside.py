"""Runs an event loop beside the main thread, where signals raise.

Airflow's timeout raises from a signal's handler, wherever the main thread is: in the middle of an
event loop the loop may swallow it, and the task would go on for ever.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; what is raised here meanwhile cancels it, and comes out when it has ended."""
    is_over = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def whole() -> None:
        if task := asyncio.current_task():
            running.append((asyncio.get_running_loop(), task))
        if not is_over.is_set():  # it may be before the task was there to be cancelled
            await main()

    def in_thread() -> None:
        with asyncio.Runner() as runner:
            runner.get_loop()  # where there can be none, nothing was begun
            runner.run(whole())

    with ThreadPoolExecutor(1, thread_name_prefix="asking") as pool:
        pool.submit(bool)  # the thread starts for this: what is raised meanwhile finds it idle
        try:
            pool.submit(in_thread).result()
        except BaseException:
            is_over.set()
            for loop, task in running:
                with contextlib.suppress(RuntimeError):  # it ended by itself: its loop is closed
                    loop.call_soon_threadsafe(task.cancel)
            raise
