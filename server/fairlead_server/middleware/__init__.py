"""What every request passes through, inside vLLM's API server: plain ASGI, nothing buffered.

Room law: standard library and fairlead_api only, no framework and no vLLM, so that it runs in
front of any ASGI app. Request bodies are bounded and may be rewritten, responses stream through
untouched but for headers. Reading order: ``gate``, ``routes``, ``body``, ``tokens``, ``probes``,
``token``, ``traffic``, ``engine``, ``replies``.
"""

from fairlead_server.middleware.gate import Gate

__all__ = ["Gate"]
