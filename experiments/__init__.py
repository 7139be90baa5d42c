"""Experiments: one YAML over a typed schema is one run. The only floor that knows every part."""
