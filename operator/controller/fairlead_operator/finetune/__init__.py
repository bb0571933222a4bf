"""The FineTuneJob's planner: the resource, its children and the time in, a Plan out.

Room law: pure. Nothing here does I/O, keeps state or reads a clock; equal input gives an equal
Plan, and a Plan whose status and acts were carried out asks for nothing more.

Reading order: ``plan`` (the decision), ``stages`` (how attempts are counted), ``causes`` (why an
attempt ended), ``admission`` (what stops a spec from running), ``status``; then the builders, one
a child: ``config``, ``service``, ``job`` with ``prepare``, ``train``, ``export`` and ``volumes``.
"""
