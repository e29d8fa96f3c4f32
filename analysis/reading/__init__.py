"""A study's folder, read by someone who does not trust it."""
