"""Samples, demonstrations and the readers of official files."""
