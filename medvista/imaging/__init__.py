"""Read, window, crop and resize medical images, with provenance back to source pixels."""

from medvista.imaging.display import default_window, to_display
from medvista.imaging.draw import draw_boxes, to_picture
from medvista.imaging.fingerprint import Fingerprint, fingerprint, perceptual_hash
from medvista.imaging.geometry import box_from_model, box_from_source, box_to_model, box_to_source, map_box
from medvista.imaging.reader import open_image, read_image
from medvista.imaging.resample import crop, fit

__all__ = [
    "Fingerprint",
    "box_from_model",
    "box_from_source",
    "box_to_model",
    "box_to_source",
    "crop",
    "default_window",
    "draw_boxes",
    "fingerprint",
    "fit",
    "map_box",
    "open_image",
    "perceptual_hash",
    "read_image",
    "to_display",
    "to_picture",
]
