"""Fairlead's provider for Apache Airflow: tasks that make resources and wait on their status.

Room law: a client of the API server like kubectl. Work is named by the task that asks for it, so
a task that is run again finds its own work; results are read from the status alone; who kills a
task ends its work.

Reading order, pure modules first in each line:

- resources: ``naming``, ``manifests``, ``submission``, ``waiting``, ``results``, ``replicas``;
  ``hooks``, ``workerhook`` (workers speak to the API server by them), ``extras``; ``following``
- waiting, deferred: ``watch`` (one stream for all who wait), ``stream`` and ``asynchooks``
  (triggers speak by them), ``triggers``; ``taskstate``, ``ending`` (kills); ``stages``,
  ``taskgroup``
- asking: ``endpoint``, ``completions``, ``asking``, ``beside``
- batches: ``prompts``, ``journal``, ``generation``, ``quality``, ``rows``, ``warehouse``
- evaluation: ``exam``, ``scores``, ``bleu``, ``likelihood``, ``judging``, ``gates``, ``examining``
- sensors: ``comparisons``, ``promql``, ``prometheus``, ``listing``, ``sensors``; ``notifier``
- Airflow's UI: ``overview``, ``looking``, ``statuspage``, ``links``, ``plugin``
- ``operators`` (what DAGs import), ``pipelines`` (what our DAGs string), ``assets``, ``provider``
  (what Airflow is told)
"""
