"""Loads kubernetes_asyncio without its 700 generated models: 70 MiB and 4 seconds less.

kopf would load as many of `kubernetes`, where that is installed too, as the command line's client.

The operator treats objects as JSON, so it needs the client's connection, authentication and
kubeconfig code only; the package's own ``__init__`` imports every model of every API. This
module may only prepare ``sys.modules``; ``cluster`` does the importing.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

PACKAGE: Final = "kubernetes_asyncio"
OTHER_CLIENT: Final = "kubernetes"
_BARE: Final = (PACKAGE, f"{PACKAGE}.client", f"{PACKAGE}.client.models")


def prepare() -> None:
    """Register the client's packages without running them; does nothing once one was imported."""
    if PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{PACKAGE} is not installed: pip install 'fairlead-operator[controller]'"
        )
    root = Path(spec.origin).parent
    for name in _BARE:
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    client = sys.modules[f"{PACKAGE}.client"]
    for module, attribute in (("configuration", "Configuration"), ("api_client", "ApiClient")):
        found = importlib.import_module(f"{client.__name__}.{module}")
        setattr(client, attribute, getattr(found, attribute))
    sys.modules[PACKAGE].client = client  # type: ignore[attr-defined]


@contextmanager
def without_the_other_client() -> Iterator[None]:
    """Import kopf inside: it takes the models of a client only where it finds that client."""
    if OTHER_CLIENT in sys.modules:
        yield
        return
    sys.modules[OTHER_CLIENT] = None  # type: ignore[assignment]  # import says: not found
    try:
        yield
    finally:
        del sys.modules[OTHER_CLIENT]
