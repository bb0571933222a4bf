"""What runs inside a FineTuneJob's pods: prepare the data, train, export the artifact.

Room law: nothing here speaks to Kubernetes. The operator tells everything in one document
(``fairlead_api.runfile``) and a few environment variables (``settings``); a stage answers with
its result in storage, a termination message and an exit code (``ending``). torch and what stands
on it are imported inside functions of the leaf modules only: ``train.worker`` and what it calls,
``export.merging``. Everything else runs, and is tested, without them.

Reading order: ``command`` (the way of a stage), ``settings``, ``failures``, ``ending``,
``storage`` and ``checkpoint`` (how files become durable), ``basemodel`` (what training starts
from), then ``prepare``, ``train`` (launcher first, then worker) and ``export``.
"""
