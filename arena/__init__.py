"""The arena of attacks: what each attack on the reward rule earns, measured on real text (MECHANISM 7)."""
