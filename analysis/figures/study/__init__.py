"""A module a figure of a study as a whole."""
