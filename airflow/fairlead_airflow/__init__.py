"""Fairlead's provider for Apache Airflow: tasks that make resources and wait on their status.

Room law: a client of the API server like kubectl. Work is named by the task that asks for it, so
a task that is run again finds its own work; results are read from the status alone; who kills a
task ends its work.

Reading order: ``naming``, ``manifests``, ``submission`` (pure), ``hooks`` (the only module that
writes to the API server), ``watch`` (one stream for all who wait), ``triggers``, ``operators``,
``provider`` (what Airflow is told of all this).
"""
