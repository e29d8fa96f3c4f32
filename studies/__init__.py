"""What is asked: a study declares a space and a budget, and one command line runs it."""
