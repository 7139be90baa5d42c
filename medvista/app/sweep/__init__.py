"""A sweep: variants of an experiment at several seeds, each a run of its own, compared in one table (`flow.run_sweep`).

Nothing is imported here, so that a cluster's job that starts a run does not load all of the library first.
"""
