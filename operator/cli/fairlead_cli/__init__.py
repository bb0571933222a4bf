"""``fairlead``: check manifests, wait for what they ask for, and put a question to the result.

Room law: a client like any other. It reads resources through the API server with the user's own
rights and never writes one; ``cluster`` is the only module that knows the Kubernetes client,
``manifests`` is pure. Every error a user can meet is an ``errors.CliError``.
"""
