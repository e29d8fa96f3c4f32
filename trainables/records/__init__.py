"""What is on disk of a trial and of a study, who writes it, and in which order. Needs no torch."""
