"""Learning: embeddings, the ridge head, its evaluation and the vertical model that is served."""
