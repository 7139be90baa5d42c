"""Draws the pictures of `docs/tools.md`: `python docs/images/tools.py [NAME ...]`, with $MEDVISTA_DATA set.

Each is what `python -m experiments.tools run` saves for a real file: the official ones of VQA-RAD (CC0 1.0) and SLAKE
(CC BY 4.0), one slice of LIDC-IDRI (CC BY 3.0) and nibabel's test volume (MIT). `docs/tools.md` names their sources.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from medvista.app.commands.tools import run

FOLDER = Path(__file__).parent / "tools"

CT = "formats/CT_lung_nodule.dcm"
VOLUME = "formats/anatomical.nii"
RADIOGRAPH = "vqa_rad/VQA_RAD Image Folder/synpic17848.jpg"
TILTED = "vqa_rad/VQA_RAD Image Folder/synpic17145.jpg"
PRINTED = "slake/Slake1.0/imgs/xmlab147/source.jpg"
LIVER = "slake/Slake1.0/imgs/xmlab216/source.jpg"
KIDNEYS = "slake/Slake1.0/imgs/xmlab207/source.jpg"
TUMOUR = "slake/Slake1.0/imgs/xmlab531/source.jpg"

CALLS: dict[str, tuple[str, ...]] = {
    "zoom": (CT, "bbox_2d=[140,350,240,450]"),
    "window": (CT, "preset=soft_tissue"),
    "rotate": (TILTED, "degrees=6"),
    "slice": (VOLUME, "plane=coronal", "through=[500,480]"),
    "enhance": (RADIOGRAPH, "method=clahe", "strength=2"),
    "compare": (KIDNEYS, "boxes=[[180,350,430,650],[620,350,870,650]]"),
    "mirror": (TUMOUR, "bbox_2d=[300,240,480,480]"),
    "distance": (CT, "start=[70,500]", "end=[950,500]"),
    "roi_statistics": (CT, "bbox_2d=[480,320,580,420]", "shape=ellipse"),
    "segment": (LIVER, "bbox_2d=[100,250,500,700]"),
    "read_text": (PRINTED,),
    "retrieve": ("query=function of the liver", "count=2"),
}


def main(names: list[str]) -> int:
    """Draw the pictures of these tools, or of all."""
    root = Path(os.environ["MEDVISTA_DATA"])
    FOLDER.mkdir(exist_ok=True)
    codes = []
    for name in names or CALLS:
        items = [item if "=" in item else str(root / item) for item in CALLS[name]]
        codes.append(run(name, items, FOLDER / f"{name}.jpg"))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
