"""The verb `airflow`: Airflow with our DAGs on the demo's cluster, until it is broken off."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fairlead_cluster import (
    account,
    belongings,
    errors,
    images,
    orchestration,
    progress,
    providers,
    state,
)
from fairlead_cluster.demo import example, place, story, verb
from fairlead_cluster.demo.parts import Parts
from fairlead_cluster.settings import Settings

DAGS: Final = images.ROOT / "airflow" / "dags"
CONNECTION: Final = "fairlead_default"
WAREHOUSE: Final = "fairlead_warehouse"
"""Where batches load their answers, unless the environment names another."""
ACCOUNT: Final = "airflow"
_RENEWAL_SECONDS: Final = 3600.0
_PAUSE_SECONDS: Final = 2.0  # each look goes through all processes of the machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fairlead-cluster airflow`."""
    parser.add_argument("--port", type=_port, default=8080, help="of its pages and its API (8080)")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Start Airflow and wait until Ctrl-C, which ends all of it."""
    busy = "Airflow of this cluster runs in another terminal; waiting for its end (Ctrl-C there)"
    with (
        _answered(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP),
        state.lock(settings.cache_dir, f"airflow-{verb.slug(settings)}", busy),
    ):
        tell(settings, given.port)
    return 0


@contextmanager
def _answered(handler: Any, *signals: signal.Signals) -> Iterator[None]:
    """Answer these signals so for a while; those that are ignored (nohup) stay so."""
    before = {sign: signal.getsignal(sign) for sign in signals}
    for sign, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(sign, handler)
    try:
        yield
    finally:
        for sign, old in before.items():
            signal.signal(sign, old)


def tell(settings: Settings, port: int) -> None:
    """Prepare the cluster, run Airflow beside it, and end it again.

    Raises:
        ClusterError: One clear line with the way out; the next run goes on from here.
    """
    parts = Parts(total=5)
    progress.say("Airflow with Fairlead's DAGs, on this machine and its cluster.")
    with verb.alone(settings):
        where = story.prepare(providers.choose(settings), parts)
    home = home_of(settings, where)
    kubeconfig = home / "kubeconfig"
    write_kubeconfig(where, kubeconfig)
    connections = {
        CONNECTION: connection(kubeconfig, story.gateway_of(where)),
        WAREHOUSE: {"conn_type": "sqlite", "host": str(home / "warehouse.db")},
    }
    server = orchestration.Server(home, port, (DAGS,), connections)
    try:
        with parts.part("Airflow: scheduler, DAG processor, triggerer, API server", 45):
            server.start()
            server.wait_healthy()
        progress.say(welcome(server))
        watch(server, where, kubeconfig)
    except KeyboardInterrupt:
        progress.say("")
    finally:
        # Half an end is worse than a slow one.
        with (
            _answered(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
            progress.step("end Airflow", 10),
        ):
            server.stop()
    progress.say("Airflow has ended; what its tasks began in the cluster goes on")


def home_of(settings: Settings, where: place.Place) -> Path:
    """AIRFLOW_HOME: beside the cluster's kubeconfig, or beside the cache where that is yours."""
    if where.kubeconfig is not None:
        return where.kubeconfig.parent / "airflow"
    return settings.cache_dir / "airflow" / verb.slug(settings)


def connection(kubeconfig: Path, gateway: str) -> dict[str, Any]:
    """The connection that DAGs take where they name none."""
    extra = {
        "kube_config_path": str(kubeconfig),
        "namespace": example.NAMESPACE,
        "gateway_address": gateway,
    }
    return {"conn_type": "fairlead", "extra": extra}


def write_kubeconfig(where: place.Place, file: Path) -> None:
    """Write a kubeconfig of an account that may edit the example's namespace, for a day."""
    text = account.kubeconfig(where, example.NAMESPACE, ACCOUNT, belongings.LABELS)
    orchestration.write_private(file, text)


def watch(
    server: orchestration.Server,
    where: place.Place,
    kubeconfig: Path,
    renewal_seconds: float = _RENEWAL_SECONDS,
) -> None:
    """Wait for the end of Airflow; meanwhile its kubeconfig never grows old.

    Raises:
        ComponentFailed: When it, or a part of it, ends by itself.
    """
    renewed = time.monotonic()
    while True:
        server.require_whole()
        time.sleep(_PAUSE_SECONDS)
        if time.monotonic() - renewed > renewal_seconds:
            renewed = time.monotonic()
            try:
                write_kubeconfig(where, kubeconfig)
            except errors.CommandFailed as refused:  # the old one is good for hours yet
                progress.note(f"  ! {refused.problem}")


def welcome(server: orchestration.Server) -> str:
    """Where it is, how to get in, and what to do there."""
    dags = ", ".join(sorted(file.stem for file in DAGS.glob("*.py")))
    return f"""
Airflow is ready:
  {server.url}
  user      {orchestration.USER}
  password  {server.password()}   (kept in {server.home / "passwords.json"})

What to try next:
  log in, open a DAG ({dags}), press Trigger, fill in the form
  all DAGs start paused: Trigger's form unpauses; a run asked for otherwise stays queued until
      you do; fine_tune, unpaused, also trains each Sunday at 00:00 UTC
  from another machine: ssh -L {server.port}:localhost:{server.port} THIS-MACHINE
  what its parts print: {server.log}

Ctrl-C ends Airflow. What its tasks began in the cluster goes on."""
