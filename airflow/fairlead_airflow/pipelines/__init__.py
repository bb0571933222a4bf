"""The pipelines that the files in airflow/dags string: their forms, plans and tasks.

``rows``, ``plan``, ``checking``, ``outcomes`` and ``timing`` decide and are pure; ``parameters``
holds the forms; ``cleaning`` the tasks that end every run; ``training``, ``deployment`` and
``batch`` string one pipeline each.
"""
