"""Training the policies of a run: the nano base model, demonstrations, and one stage per policy."""
