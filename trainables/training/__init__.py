"""How one trial is trained: the loop, its evaluation, its checkpoints, in one process or several. No Ray."""
