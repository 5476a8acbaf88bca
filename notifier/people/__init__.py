"""People: who is there, who answers for what, and who is on call when."""
