"""Where a study runs: a Ray cluster that is there already, or one made on this machine for the occasion."""
