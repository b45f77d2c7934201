"""Where records come from: sources, redaction, sealed contributions, and the corpora of the demo."""
