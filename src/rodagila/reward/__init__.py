"""Settlement of a turn: pool, payouts, slashes, trees, public file, audit and explanation (MECHANISM 1 and 6)."""
