"""The images that an agent has opened, by session: what an environment keeps for an episode, kept for a stranger."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medvista.errors import UserError
from medvista.imaging import open_image
from medvista.imaging.encoding import decode_base64
from medvista.types import MedicalImage

MOST_SESSIONS = 64
MOST_IMAGES = 256  # of one session
MOST_BYTES = 4 * 2**30  # of all sessions together


@dataclass
class ImageSession:
    """Images in the order they came: opened, or returned by a tool."""

    id: str
    images: list[MedicalImage] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while a tool runs, as in an episode

    @property
    def nbytes(self) -> int:
        """Bytes that the images hold."""
        volumes = {id(image.volume): image.volume.voxels.nbytes for image in self.images if image.volume is not None}
        return sum(image.pixels.nbytes for image in self.images) + sum(volumes.values())

    def open(self, image: MedicalImage) -> range:
        """Append an image that is its own source; its index.

        Raises:
            UserError: the session is full.
        """
        with self.lock:
            return self.add(own_sources([image], len(self.images)))

    def add(self, images: Sequence[MedicalImage]) -> range:
        """Append images; the indices they have from now on.

        Raises:
            UserError: the session is full.
        """
        with self.lock:
            first = len(self.images)
            if first + len(images) > MOST_IMAGES:
                raise UserError(f"This session holds {first} images, as many as it may; open images in a new one.")
            self.images.extend(images)
        return range(first, first + len(images))


class ImageSessions:
    """The sessions of all connections; the one used longest ago goes when there are too many.

    A session's name cannot be guessed: whoever has it was told it.

    Args:
        roots: folders whose files may be opened, and no others.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = [_folder(root) for root in roots]
        self._sessions: OrderedDict[str, ImageSession] = OrderedDict()
        self._of_connection: dict[str, str] = {}
        self._lock = threading.Lock()

    def find(self, name: str | None, connection: str | None) -> ImageSession | None:
        """The session of that name, or of a connection that names none; None when that has none.

        Raises:
            UserError: there is no session of that name (any more).
        """
        with self._lock:
            known = name or self._of_connection.get(connection or "", "")
            session = self._sessions.get(known)
            if session is not None:
                self._sessions.move_to_end(known)
            elif name:
                raise UserError(f"There is no session {name[:40]!r}: call open_image, which begins one and names it.")
            return session

    def find_or_begin(self, name: str | None, connection: str | None) -> ImageSession:
        """The session of that name, or of a connection, begun now if it has none.

        Raises:
            UserError: there is no session of that name (any more).
        """
        session = self.find(name, connection)
        if session is not None:
            return session
        session = ImageSession(id=secrets.token_urlsafe(9))
        with self._lock:
            self._sessions[session.id] = session
            if connection is not None:
                self._of_connection[connection] = session.id
            self._drop_oldest()
        return session

    def read(self, given: str) -> MedicalImage:
        """The image of a path under a root, or of a data URL.

        Raises:
            UserError: the path leads elsewhere, or what is there is no image.
        """
        if given.startswith("data:"):
            return decode_base64(given)
        return open_image(self._allowed(given))

    def _allowed(self, given: str) -> Path:
        """The file, links followed; the same words for what is missing and for what is not to be seen."""
        for root in self.roots:
            path = (root / Path(given).expanduser()).resolve()
            if path.is_relative_to(root) and path.exists():
                return path
        where = "under the folders this server may read" if self.roots else "for it: it was started without --root"
        raise UserError(f"There is no file {given[:200]!r} {where}; its content can be sent in base64 instead.")

    def _drop_oldest(self) -> None:
        def over() -> bool:
            held = sum(session.nbytes for session in self._sessions.values())
            return len(self._sessions) > MOST_SESSIONS or held > MOST_BYTES

        while len(self._sessions) > 1 and over():
            gone, _ = self._sessions.popitem(last=False)
            self._of_connection = {key: name for key, name in self._of_connection.items() if name != gone}


def own_sources(images: Sequence[MedicalImage], first: int = 0) -> list[MedicalImage]:
    """The images, each as the source of itself, at the indices from `first` on."""
    return [replace(image, source=index, to_source=np.eye(3)) for index, image in enumerate(images, first)]


def _folder(root: Path) -> Path:
    resolved = root.expanduser().resolve()
    if not resolved.is_dir():
        raise UserError(f"--root {root} is no folder.")
    return resolved
