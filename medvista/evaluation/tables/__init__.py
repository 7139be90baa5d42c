"""The tables of a run, rendered alike for the terminal, for Markdown and for the report."""
