"""Published figures, and what this package's own trainings by the same protocols come to."""
