"""What is scored: test sets, folders of clips, the retrieval pool."""
