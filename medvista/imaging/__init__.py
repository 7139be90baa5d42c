"""Read, window, crop and resize medical images, with provenance back to source pixels."""

from medvista.imaging.blank import blank_image
from medvista.imaging.display import default_window, to_display
from medvista.imaging.draw import draw_boxes, to_picture
from medvista.imaging.fingerprint import Fingerprint, fingerprint, perceptual_hash
from medvista.imaging.geometry import box_from_model, box_from_source, box_to_model, box_to_source, lies_on, map_box
from medvista.imaging.identifiers import BurnedInWarning
from medvista.imaging.nifti import OrientationWarning
from medvista.imaging.reader import open_image, read_image
from medvista.imaging.resample import crop, fit, is_strip
from medvista.imaging.volume import (
    box_to_voxels,
    first_slice,
    points_to_patient,
    points_to_voxels,
    slice_count,
    source_image,
    take_slice,
)

__all__ = [
    "BurnedInWarning",
    "Fingerprint",
    "OrientationWarning",
    "blank_image",
    "box_from_model",
    "box_from_source",
    "box_to_model",
    "box_to_source",
    "box_to_voxels",
    "crop",
    "default_window",
    "draw_boxes",
    "fingerprint",
    "first_slice",
    "fit",
    "is_strip",
    "lies_on",
    "map_box",
    "open_image",
    "perceptual_hash",
    "points_to_patient",
    "points_to_voxels",
    "read_image",
    "slice_count",
    "source_image",
    "take_slice",
    "to_display",
    "to_picture",
]
