"""The serving pod of a ModelService: checks the artifact, then becomes vLLM.

Room law: everything before the exec is plain Python without vLLM or torch; after it only
``middleware`` runs, inside vLLM's own API server, and what vLLM loads as plugins (``heartbeat``,
``amx``). Nothing here speaks to Kubernetes; the operator
tells everything in one document (``fairlead_api.servefile``), the pod answers with probes, a
termination message and an exit code.

Reading order: ``__main__`` (the way of a start), ``settings``, ``artifact``, ``arguments``,
``middleware`` (what a request passes through), ``drain`` (the preStop hook).
"""
