"""What is measured about the code itself: `python -m benchmarks.<name>`, from the root of the repository."""
