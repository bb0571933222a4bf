"""Explore the states that the planners can reach, from the command line."""
