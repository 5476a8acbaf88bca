"""One judge for each kind of question that a test can ask; all have the shape of `rules.judges.base.Judge`."""
