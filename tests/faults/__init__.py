"""Harm to a running installation on a seeded schedule, and whether it counts and tells what it must all the same."""
