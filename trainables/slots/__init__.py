"""Long-lived Ray Train runs that serve trial after trial, and what passes between them and Tune."""
