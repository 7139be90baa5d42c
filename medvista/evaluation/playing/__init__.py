"""Questions -> episodes on disk, each once, however many processes share the work.

`evaluator` plays, `episode_log` keeps, `shard` says whose question it is; `guessers` are baselines that see no image.
"""
