"""Fairlead's operator: watches FineTuneJobs and ModelServices and makes their workloads.

Room law: observe, plan, apply. ``handlers`` and ``__main__`` are the only modules that know
kopf; ``cluster`` is the only one that speaks to the API server; everything under ``finetune``
and ``serving`` is pure: objects and the time in, a Plan out.

Reading order: ``plan``, ``finetune.plan``, ``serving.plan``, ``reconcile``, ``workqueue``,
``handlers``, ``__main__``.
"""
