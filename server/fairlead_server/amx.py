"""vLLM calls this in each of its processes, before its engine is made; it imports torch for that.

It is found through the entry point group ``vllm.general_plugins``.
"""

import torch


def permit() -> None:
    """Ask Linux for the tile registers of Intel's AMX, where the processor has them.

    A process may use them only after it has asked (Linux, Documentation/arch/x86/xstate.rst).
    vLLM 0.32's attention on processors uses them without: its engine is killed by an illegal
    instruction at the first token, on every pod and again after each restart.
    """
    torch.cpu._init_amx()
