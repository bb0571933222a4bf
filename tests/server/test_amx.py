"""vLLM's processes may use what its attention uses, on processors that have it."""

import ctypes
import importlib.metadata

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("vllm", reason="vLLM is missing: the e2e tier runs this in the image")

ARCH_PRCTL, ARCH_GET_XCOMP_PERM, XTILEDATA = 158, 0x1022, 18
"""Of Linux on x86-64; elsewhere, and before 5.16, there is nothing to be asked for."""


def may_use_tiles():
    permitted = ctypes.c_ulong()
    ctypes.CDLL(None).syscall(ARCH_PRCTL, ARCH_GET_XCOMP_PERM, ctypes.byref(permitted))
    return bool(permitted.value & 1 << XTILEDATA)


def test_vllm_finds_it_among_the_plugins_that_a_pod_allows(monkeypatch):
    from vllm.plugins import load_plugins_by_group

    from fairlead_server import amx, arguments

    monkeypatch.setenv("VLLM_PLUGINS", arguments.environment({})["VLLM_PLUGINS"])
    assert load_plugins_by_group("vllm.general_plugins") == {"fairlead": amx.permit}
    found = importlib.metadata.entry_points(group="vllm.general_plugins", name="fairlead")
    assert [point.value for point in found] == ["fairlead_server.amx:permit"]


def test_tiles_may_be_used_where_vllm_would_use_them():
    import torch

    from fairlead_server import amx

    amx.permit()
    assert may_use_tiles() == torch.cpu._is_amx_tile_supported()
