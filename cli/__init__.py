"""The `tillwatch` command."""
