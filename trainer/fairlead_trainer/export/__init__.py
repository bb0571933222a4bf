"""Export: the checkpoint that Train ended with becomes an artifact that a server may trust.

Room law: ``selection`` and ``publishing`` are plain Python; torch and peft load in ``merging``
only, and only where an adapter is merged. Order: ``selection`` (which files), ``merging``,
``publishing`` (verified, then visible), ``stage``.
"""
