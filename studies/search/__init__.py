"""The life of a training, Tune that runs it, and where else it is shown."""
