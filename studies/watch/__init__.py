"""What is seen of a running study, and what stops it."""
