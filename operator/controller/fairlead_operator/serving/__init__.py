"""What a ModelService's pods, Services and route should be: pure planning.

Room law: a ModelService, its observed children and the time go in, a Plan comes out. No I/O, no
clock, no environment; every file builds one kind of object or answers one question.

Reading order: ``options``, ``plan``, then as ``plan`` calls them: ``model`` (which model),
``arguments`` and ``pod`` (how it is served), ``revision`` (what is kept of that), ``rollout``
(which revision takes the traffic), ``deployment``, ``service``, ``route``, ``diagnosis``,
``status``.
"""
