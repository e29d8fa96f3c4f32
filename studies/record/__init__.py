"""What a study writes down: its question, its ledger, who runs it."""
