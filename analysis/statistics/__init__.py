"""What can be said of a study's numbers, and how surely. Arrays in, numbers out."""
