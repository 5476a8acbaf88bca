"""Tests mirror the rooms; `support` holds what they share."""
