"""The viewer: a run's episodes as static files that a browser opens from disk."""

from medvista.evaluation.viewer.sources import Source, find_sources
from medvista.evaluation.viewer.writer import write_viewer

__all__ = ["Source", "find_sources", "write_viewer"]
