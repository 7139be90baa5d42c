"""What a user of a clone runs and edits: thin entry points, and the experiments as YAML files in `conf`."""
