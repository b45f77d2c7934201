"""The gateway: paid, OpenAI-compatible answers from a DAO's model and data, and the feedback that comes back."""
