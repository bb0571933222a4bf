"""Train: torchrun under a launcher that names every end, TRL's SFTTrainer below it.

Room law: ``stage``, ``launcher``, ``elastic``, ``deepspeed_config``, ``arguments``, ``cutting`` and
``progress`` are plain Python; torch and its companions load in ``worker``, ``model``, ``sft``,
``reports`` and ``world``.
Order: ``stage`` (a pod's view), ``launcher`` (PID 1), ``elastic`` (what torchrun leaves),
``worker`` (one rank), then what it uses.
"""
