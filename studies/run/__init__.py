"""From a study to its end: slots, the search, what is trained after it; and what is asked from outside."""
