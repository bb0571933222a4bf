"""The demo: one example taken from nothing to answers, by the commands that a user would type.

Law of this room: it drives `fairlead-cluster`, helm, kubectl and `fairlead` and knows of
Fairlead's resources only what stands in the example's manifests. Every step may be interrupted
and run again. `report` and the drawing of questions are pure.
"""
