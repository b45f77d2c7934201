"""What is kept on disk: blobs, the database with its migrations, the vector index."""
