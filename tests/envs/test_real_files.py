"""Episodes on DICOM files and volumes: what is shown, what is stored, and what never is."""

import json
import logging
import warnings

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.envs import MedicalVQAEnv, episode_picture
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.report import write_report
from medvista.evaluation.viewer import Source, write_viewer
from medvista.imaging import read_image
from medvista.imaging.dicom_file import read_dataset
from medvista.tools import Toolbox
from medvista.types import Slice, VQASample

IDENTIFYING = {
    "PatientName": "Quetzalcoatl^Zacharias",
    "PatientID": "MRN-8675309",
    "PatientBirthDate": "19511027",
    "PatientAddress": "Elm Street 1428",
    "OtherPatientIDs": "SSN-078-05-1120",
    "ReferringPhysicianName": "Strangelove^Merkwuerdig",
    "InstitutionName": "St. Elsewhere",
    "AccessionNumber": "ACC-4711-0815",
    "StudyInstanceUID": "1.2.826.0.1.99999.1.42",
    "SeriesInstanceUID": "1.2.826.0.1.99999.2.42",
    "StudyDate": "20231224",
    "StudyID": "STUDY-77777",
    "DeviceSerialNumber": "SERIAL-31337",
    "ImageComments": "Mr Quetzalcoatl was restless",
}


def sample(path, **fields):
    return VQASample(
        id="1",
        benchmark="local",
        split="test",
        question="Is there a nodule?",
        answers=("yes",),
        images=(path,),
        group_id="1",
        **fields,
    )


def play(path, *calls):
    toolbox = Toolbox.from_names(["zoom", "window", "rotate", "slice", "enhance", "roi_statistics"])
    env = MedicalVQAEnv([sample(path)], toolbox, view_size=64, max_turns=len(calls) + 1)
    observations = [env.reset(seed=0)[0]]
    for name, arguments in calls:
        call = json.dumps({"name": name, "arguments": arguments})
        observations.append(env.step(f"<think>look</think><tool_call>{call}</tool_call>")[0])
    env.step("<think>done</think><answer>yes</answer>")
    return env, observations


def test_nothing_that_identifies_a_patient_is_kept_shown_stored_or_logged(tmp_path, caplog):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for tag, value in IDENTIFYING.items():
        setattr(dataset, tag, value)
    block = dataset.private_block(0x0099, "ACME", create=True)
    block.add_new(0x01, "LO", "Quetzalcoatl in a private tag")
    dataset.BurnedInAnnotation = "YES"
    dataset.WindowCenter = "40"
    dataset.save_as(tmp_path / "image.dcm")
    secrets = [*IDENTIFYING.values(), "Quetzalcoatl"]

    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        calls = [
            ("zoom", {"bbox_2d": [0, 0, 500, 500]}),
            ("zoom", {"image": 9}),
            ("roi_statistics", {"bbox_2d": [0, 0, 9, 9]}),
        ]
        env, observations = play(tmp_path / "image.dcm", *calls)
        episodes = tmp_path / "out" / "episodes.jsonl"
        write_trajectories(episodes, [env.trajectory])
        results = Results(experiment="test", seeds=(0,), arms={})
        write_report(tmp_path / "out" / "report.html", results, {}, {"tools": [env.trajectory]})
        write_viewer(tmp_path / "out" / "viewer", [Source(path=episodes, run="test", arm="tools", mode="")])
        (tmp_path / "cut.dcm").write_bytes((tmp_path / "image.dcm").read_bytes()[:-9000])
        with pytest.raises(ValueError) as error:
            read_image(tmp_path / "cut.dcm")
        image = read_image(tmp_path / "image.dcm")

    written = [path.read_bytes().decode("latin-1") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    said = [*written, caplog.text, repr(env.trajectory), repr(image), str(error.value)]
    said += [str(warning.message) for warning in warned] + [observation.text for observation in observations]
    assert len(written) >= 8  # the episodes, the overview, the zoom, the report, the viewer's page and what it loads
    assert not set(IDENTIFYING) - {"SeriesInstanceUID"} & set(read_dataset(tmp_path / "image.dcm").dir())
    assert not [secret for secret in secrets for text in said if secret in text]


@pytest.fixture
def volume_file(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 1000, (20, 24, 10)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), tmp_path / "volume.nii.gz")
    return tmp_path / "volume.nii.gz"


def test_the_first_observation_says_what_else_there_is_to_see(volume_file):
    _, observations = play(volume_file)
    assert observations[0].text == (
        "Is there a nodule?\nImage 0 is axial slice 5 of a volume with axial slices 0 to 9, coronal slices 0 to 23, "
        "sagittal slices 0 to 19."
    )


def test_an_episode_on_a_volume_is_stored_with_plane_and_index_and_read_back(volume_file, tmp_path):
    calls = [("slice", {"plane": "coronal", "index": 7}), ("zoom", {"image": 1, "bbox_2d": [0, 0, 500, 500]})]
    env, observations = play(volume_file, *calls)
    assert all(env.observation_space.contains(observation) for observation in observations)
    assert observations[1].images[0].size == (43, 64)  # 20 x 30 mm, in true proportions
    write_trajectories(tmp_path / "episodes.jsonl", [env.trajectory])
    values = json.loads((tmp_path / "episodes.jsonl").read_text())
    assert values["turns"][1]["result"]["regions"][0]["slice"] == {"plane": "coronal", "index": 7}
    (back,) = read_trajectories(tmp_path / "episodes.jsonl")
    assert back.observation.images[0].slice == Slice(plane="axial", index=5)
    assert [turn.result.regions for turn in back.turns[:2]] == [
        turn.result.regions for turn in env.trajectory.turns[:2]
    ]
    assert back.turns[1].observation.images[0].slice == Slice(plane="coronal", index=7)
    assert episode_picture(env.trajectory).size[0] > 0


def test_voxels_cannot_be_drawn_on(volume_file):
    env, _ = play(volume_file, ("slice", {"plane": "sagittal"}))
    assert not env._images[0].volume.voxels.flags.writeable
    assert not env._images[1].pixels.flags.writeable
