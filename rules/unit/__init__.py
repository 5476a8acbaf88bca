"""Unit tests of rules: events of a short notation through the real fold, merge and engine, and what must be told of them."""
