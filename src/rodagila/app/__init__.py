"""Entry points: the command line, the home they work on, the turn's durable workflow, the demonstration."""
