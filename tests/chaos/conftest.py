"""Fixtures of the chaos tests: the shared control plane, and a lab for a module's scenarios."""

import os

import pytest
import pytest_asyncio

from fairlead_chaos import lab

NUM_NODES = 20  # one a run at the same time


@pytest.fixture(scope="session")
def control_plane():
    """Bring up the cluster FAIRLEAD_TEST_CLUSTER, or reuse it; `make down` removes it."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    return lab.bring_up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(control_plane, request, tmp_path_factory):
    """A lab that knows the fates of the module's SCENARIOS; its tests run in the module's loop."""
    folder = tmp_path_factory.mktemp("lab")
    async with lab.open_lab(control_plane, request.module.SCENARIOS, folder, NUM_NODES) as opened:
        yield opened
