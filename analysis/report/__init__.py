"""What a person reads: the page, a comparison, a list, a notebook."""
