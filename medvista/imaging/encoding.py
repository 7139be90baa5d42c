"""Images as bytes in a message: PNG and data URLs, and back."""

from __future__ import annotations

import base64
import binascii
import io
import tempfile
from pathlib import Path

from PIL import Image

from medvista.errors import UserError
from medvista.imaging.display import to_display
from medvista.imaging.reader import read_image
from medvista.types import MedicalImage


def to_png(image: MedicalImage) -> bytes:
    """The 8-bit display of an image as a PNG file: lossless, and without any text that came with the source."""
    file = io.BytesIO()
    Image.fromarray(to_display(image)).save(file, "PNG")
    return file.getvalue()


def to_data_url(image: MedicalImage) -> str:
    """The display of an image as ``data:image/png;base64,...``."""
    return f"data:image/png;base64,{base64.b64encode(to_png(image)).decode()}"


def decode_image(data: bytes) -> MedicalImage:
    """The image in the bytes of a file of any kind that `read_image` reads, checked as any file is.

    Raises:
        UserError: the bytes are no image, damaged, or too large to decode.
    """
    with tempfile.TemporaryDirectory(prefix="medvista-") as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            return read_image(path)
        except UserError as error:  # the path means nothing to whoever sent the bytes
            raise UserError(str(error).replace(str(path), "The image sent")) from None


def decode_base64(text: str) -> MedicalImage:
    """The image in base64 text, with or without ``data:image/png;base64,`` before it.

    Raises:
        UserError: the text is no base64, or what it holds no image.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError("The image sent is no valid base64; send the bytes of the file in standard base64.") from None
    return decode_image(data)
