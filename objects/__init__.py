"""What outlives a request: files, batches, responses, which projects own; and the passages that pipelines look up."""
