"""What each record is worth: Ordered Coverage with In-run Slashing, in exact integers (MECHANISM 1)."""
