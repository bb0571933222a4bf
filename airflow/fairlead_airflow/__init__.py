"""Fairlead's provider for Apache Airflow: tasks that make resources and wait on their status.

Room law: a client of the API server like kubectl. Work is named by the task that asks for it, so
a task that is run again finds its own work; results are read from the status alone; who kills a
task ends its work.

Reading order: ``naming``, ``manifests``, ``submission``, ``waiting``, ``results`` (pure); ``hooks``
(workers speak to the API server by it) and ``following``; ``watch`` (one stream for all who wait),
``stream`` (triggers speak by it), ``triggers``; ``operators``; ``provider`` (what Airflow is told).
"""
