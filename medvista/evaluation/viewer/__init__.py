"""The viewer: a run's episodes as static files that a browser opens from disk.

`sources` finds the trajectory files of a run, `records` turns an episode into what the page shows, `images` links the
pictures, `writer` writes; ``page/`` is the page itself.
"""

from medvista.evaluation.viewer.serving import page_server
from medvista.evaluation.viewer.sources import Source, find_sources
from medvista.evaluation.viewer.writer import write_viewer

__all__ = ["Source", "find_sources", "page_server", "write_viewer"]
