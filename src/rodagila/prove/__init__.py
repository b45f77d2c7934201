"""From an opened contribution to its proof: checks on every record, duplicates, and the evaluator's signature."""
