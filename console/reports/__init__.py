"""Reports: what a day, a week or a month was like, from the rollup tables and the incidents."""
