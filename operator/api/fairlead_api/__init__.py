"""Fairlead's shared vocabulary: every arrow between two parts crosses a type of this package.

Room law: data and arithmetic only. Nothing here does I/O, reads the environment or imports
anything but the standard library and pydantic; every other distribution may import this one,
this one imports none of them.

Reading order: ``names`` (every string that two parts must spell alike), ``base`` (what all
resources share), ``finetunejob``, ``finetunestatus`` and ``modelservice`` (the resources),
``manifest`` (what is wrong with one), ``spelling`` (which member was meant), ``conditions``,
``outcome`` (what waiters make of them), ``deepspeed``, ``nesting`` (JSON that is too much), then
the documents that pass between parts: ``runfile`` (operator to trainer), ``termination`` (trainer
to operator), ``artifact`` (trainer to server), ``servefile`` (operator to server).
"""
