"""Playing questions: episodes on disk, each once, however many processes share the work."""
