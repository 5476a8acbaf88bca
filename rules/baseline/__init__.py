"""What is normal for a series at this time of day and week, learned as it goes. docs/baseline.md."""
