"""The configuration of a run: its typed schema, its layers, and the command line that overrides them."""
