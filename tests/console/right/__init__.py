"""Whether every number of every page is the one that SQL tells, and that the rules judged."""
