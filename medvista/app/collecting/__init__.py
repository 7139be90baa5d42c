"""Collecting demonstrations: who plays, which episodes are kept, what is made of them, and the card beside them."""
