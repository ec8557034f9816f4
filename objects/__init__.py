"""What outlives a request: files, batches, responses. Owned by projects, kept in the database."""
