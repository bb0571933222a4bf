"""Check a release from inside the cluster: standard library only, run by `helm test`.

Arguments: the addresses of the API server, of the operator's metrics and of its progress endpoint.
Prints one line a check and ends with 1 when one of them fails.
"""

import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KINDS = {"finetunejobs", "modelservices"}
TIMEOUT_SECONDS = 10


def kinds_are_served(api_server: str) -> str:
    """The API server lists both kinds, so their CRDs are established."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    request = urllib.request.Request(
        f"{api_server}/apis/fairlead.dev/v1alpha1",
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
        served = {entry["name"] for entry in json.load(answer)["resources"]}
    if missing := KINDS - served:
        raise ValueError(f"not served: {', '.join(sorted(missing))}")
    return "FineTuneJob and ModelService are served"


def operator_reports(address: str) -> str:
    """The operator's metrics answer."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=TIMEOUT_SECONDS) as answer:
        text = answer.read().decode()
    if "fairlead_" not in text:
        raise ValueError("/metrics has no metric of Fairlead's")
    return "the operator reports its metrics"


def progress_is_guarded(address: str) -> str:
    """The progress endpoint speaks TLS and turns away who brings no token."""
    context = ssl.create_default_context()
    # Only training pods hold the endpoint's trust anchor; whether it answers is asked here.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = "/apis/fairlead.dev/v1alpha1/namespaces/default/finetunejobs/none/status"
    request = urllib.request.Request(address + path, data=b"{}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
            raise ValueError(f"progress without a token is answered {answer.status}")
    except urllib.error.HTTPError as refused:
        if refused.code not in (401, 403):
            raise
    return "the progress endpoint answers and asks for a token"


def main(api_server: str, metrics: str, progress: str) -> int:
    """Run every check, also after one failed."""
    checks: list[tuple[Callable[[str], str], str]] = [
        (kinds_are_served, api_server),
        (operator_reports, metrics),
        (progress_is_guarded, progress),
    ]
    failures = 0
    for check, argument in checks:
        try:
            print(f"ok    {check(argument)}")
        except (OSError, ValueError, KeyError) as problem:
            failures += 1
            print(f"FAIL  {check.__name__.replace('_', ' ')}: {problem}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
