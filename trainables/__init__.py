"""How one trial is trained: config, data, the loop, checkpoints; and, under Ray, slots that serve trials."""
