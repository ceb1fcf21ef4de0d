import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from sgps.datasets.decoding import ImageLimits
from sgps.datasets.ingest import ingest
from sgps.datasets.sources import open_source
from sgps.datasets.sources.dicom import DicomSource
from sgps.errors import ImageError, InputError, ManifestError, UserError

RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def write_dicom(path: Path, values: np.ndarray = RAMP, **tags: Any) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = Dataset()
    image.file_meta = meta
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.PatientID, image.PatientName = "12345678", "Doe^Jane"
    image.PatientSex, image.PatientAge = "F", "045Y"
    image.Rows, image.Columns = values.shape[-3:-1] if values.shape[-1] == 3 else values.shape[-2:]
    image.SamplesPerPixel = 3 if values.shape[-1] == 3 else 1
    image.PhotometricInterpretation = "RGB" if image.SamplesPerPixel == 3 else "MONOCHROME2"
    if image.SamplesPerPixel == 3:
        image.PlanarConfiguration = 0
    image.BitsAllocated = image.BitsStored = 8 * values.dtype.itemsize
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(values.dtype.kind == "i")
    image.PixelData = values.tobytes()
    image["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(image, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def shown(source: DicomSource) -> np.ndarray:
    (record,) = source.records()
    with Image.open(io.BytesIO(record.read())) as image:
        assert image.format == "PNG"
        return np.array(image)


def test_the_patient_is_hashed_and_only_sex_and_age_are_kept(tmp_path: Path) -> None:
    write_dicom(tmp_path / "ct" / "nodule" / "1.dcm", InstitutionName="Somewhere")
    write_dicom(tmp_path / "ct" / "nodule" / "2.dcm")
    write_dicom(tmp_path / "ct" / "clear" / "3.dcm", PatientID="777", PatientAge="018M")
    source = DicomSource(tmp_path / "ct")
    clear, first, second = source.records()
    assert (source.name, len(source)) == ("ct", 3)
    assert (first.label, clear.label) == ("nodule", "clear")
    assert first.group == second.group != clear.group
    assert (first.sex, first.age, clear.age) == ("F", 45.0, 1.5)
    for secret in ("12345678", "Doe", "Jane", "Somewhere"):
        assert secret not in repr(first)
        assert secret.encode() not in first.read()


def test_another_salt_gives_another_hash(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm")
    groups = {next(iter(DicomSource(tmp_path, salt=salt).records())).group for salt in "xy"}
    assert len(groups) == 2


def test_a_path_that_tells_the_patient_is_replaced(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "DOE_JANE_1.dcm")
    (record,) = DicomSource(tmp_path).records()
    assert record.name.startswith("a/")
    assert "doe" not in record.name.lower()


def test_without_a_patient_the_study_then_the_file_groups(tmp_path: Path) -> None:
    study = generate_uid()
    for name in "12":
        write_dicom(tmp_path / "a" / f"{name}.dcm", PatientID="", StudyInstanceUID=study)
    for name in "34":
        write_dicom(tmp_path / "a" / f"{name}.dcm", PatientID="")
    groups = [record.group for record in DicomSource(tmp_path).records()]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_without_a_window_the_whole_range_is_shown(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm")
    pixels = shown(DicomSource(tmp_path))
    assert pixels.shape == (64, 64, 3)
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (0, 255)
    np.testing.assert_array_equal(pixels[..., 0], np.rint(RAMP / 4095 * 255))


def test_rescale_and_window_are_applied(tmp_path: Path) -> None:
    """Values of -1024 to 3071 HU, shown from -160 to 240 HU; the ramp covers far more."""
    write_dicom(
        tmp_path / "a" / "1.dcm",
        RescaleSlope="1",
        RescaleIntercept="-1024",
        WindowCenter="40",
        WindowWidth="400",
    )
    units = RAMP.astype(float) - 1024
    pixels = shown(DicomSource(tmp_path))[..., 0].astype(float)
    assert pixels[units < -161].max() == 0
    assert pixels[units > 241].min() == 255
    expected = (units - 39.5) / 399 + 0.5
    inside = (units > -159) & (units < 239)
    np.testing.assert_allclose(pixels[inside], expected[inside] * 255, atol=0.51)


def test_a_window_wider_than_the_values_does_not_stretch_them(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", RAMP // 4 + 500, WindowCenter="1000", WindowWidth="4000")
    pixels = shown(DicomSource(tmp_path))
    assert 50 < pixels.min() < pixels.max() < 220


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", PhotometricInterpretation="MONOCHROME1")
    pixels = shown(DicomSource(tmp_path))
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (255, 0)


def test_a_voi_table_is_applied(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = list(range(4095, -1, -1))
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    write_dicom(tmp_path / "a" / "1.dcm", VOILUTSequence=Sequence([table]))
    pixels = shown(DicomSource(tmp_path))
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (255, 0)


def test_padding_does_not_count_for_the_range(tmp_path: Path) -> None:
    values = (RAMP + 1000).astype(np.int16)
    values[:8] = -2000
    write_dicom(tmp_path / "a" / "1.dcm", values, PixelPaddingValue=-2000)
    pixels = shown(DicomSource(tmp_path))
    assert pixels[:8].max() == pixels[8, 0].max() == 0


def test_colours_are_kept(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    write_dicom(tmp_path / "a" / "1.dcm", colours)
    np.testing.assert_array_equal(shown(DicomSource(tmp_path)), colours)


@pytest.mark.parametrize(
    ("values", "tags", "words"),
    [
        (np.zeros((3, 32, 32), dtype=np.uint16), {"NumberOfFrames": "3"}, "3 frames"),
        (RAMP, {"BurnedInAnnotation": "YES"}, "burnt"),
        (RAMP, {"Rows": 60_000, "Columns": 60_000}, "60000 x 60000"),
        (RAMP, {"Rows": 128}, "cannot be decoded"),
        (RAMP, {"Rows": 0}, "no pixels"),
    ],
)
def test_an_image_that_cannot_be_shown_is_an_image_error(
    tmp_path: Path, values: np.ndarray, tags: dict[str, Any], words: str
) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", values, **tags)
    (record,) = DicomSource(tmp_path).records()
    with pytest.raises(ImageError, match=words):
        record.read()


def test_burnt_in_annotation_can_be_allowed(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", BurnedInAnnotation="YES")
    assert shown(DicomSource(tmp_path, allow_burned_in=True)).any()


def test_bytes_are_limited_before_parsing(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm")
    with pytest.raises(ImageError, match="at most 1,000 bytes"):
        DicomSource(tmp_path, limits=ImageLimits(max_bytes=1000))


def test_a_foreign_file_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(b"\x89PNG not dicom" * 40)
    with pytest.raises(ImageError, match="not a readable DICOM"):
        DicomSource(tmp_path)


def test_a_place_without_dicom_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a folder"):
        DicomSource(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no \*\.dcm"):
        DicomSource(tmp_path)
    with pytest.raises(ManifestError):
        DicomSource(tmp_path / "missing.csv")


def test_a_manifest_gives_groups_and_roles(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm")
    write_dicom(tmp_path / "y.dcm")
    (tmp_path / "set.csv").write_text(
        "file,label,group,role,sex,age\nx.dcm,a,g1,novel_test,male,50\ny.dcm,b,g2,novel_val,,\n"
    )
    first, second = DicomSource(tmp_path / "set.csv", name="chest").records()
    assert (first.group, first.role, first.sex, first.age) == ("g1", "novel_test", "male", 50.0)
    assert (second.role, second.sex, second.age) == ("novel_val", "F", 45.0)


def test_a_folder_is_ingested_with_roles_by_patient(tmp_path: Path) -> None:
    for label in "ab":
        for number in range(8):
            values = np.random.default_rng(number).integers(0, 999, (32, 32), dtype=np.uint16)
            write_dicom(tmp_path / "ct" / label / f"{number}.dcm", values, PatientID=f"P{number}")
    source = open_source(
        "dicom", str(tmp_path / "ct"), roles={"meta_train": 0.5, "meta_val": 0.5}, salt="s"
    )
    dataset = ingest(source, tmp_path / "store")
    assert len(dataset) == 16
    assert dataset.frame.groupby("group")["role"].nunique().max() == 1
    assert set(dataset.frame["role"]) == {"meta_train", "meta_val"}
    assert set(dataset.frame["sex"]) == {"female"}


def test_without_pydicom_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pydicom"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'sgps\[dicom\]'"):
        DicomSource(tmp_path)
