"""A module a figure of one model."""
