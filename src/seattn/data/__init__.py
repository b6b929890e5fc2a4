"""DICOM files in, tensors out: reading, index, labels, datasets, patient-level splits."""

from seattn.data.cache import take_shard
from seattn.data.dataset import BatchLoader, DicomDataset
from seattn.data.dicom import DicomImage, read_dicom
from seattn.data.errors import (
    CacheError,
    DecodeError,
    DicomError,
    GeometryError,
    HeaderError,
    LabelError,
    LimitError,
    NoImageError,
    NotDicomError,
    ScanError,
    SplitError,
    UnsupportedSyntaxError,
)
from seattn.data.extend import extend_split
from seattn.data.index import DicomIndex, Failure, IndexRow
from seattn.data.kfold import kfold_by_patient
from seattn.data.limits import DicomLimits
from seattn.data.meta import DicomMeta
from seattn.data.phantom import make_ankle_phantom
from seattn.data.roi import bone_mask
from seattn.data.sample import Sample, to_float
from seattn.data.secondary_capture import write_secondary_capture
from seattn.data.series import DicomVolume, read_series
from seattn.data.split import split_by_patient, split_hash
from seattn.data.split_check import check_splits
from seattn.data.split_report import Leak, NearDuplicate, SplitReport
from seattn.data.transforms import RandomAffine, RandomContrast, RandomFlip, RandomNoise, augment

__all__ = [
    "BatchLoader",
    "CacheError",
    "DecodeError",
    "DicomDataset",
    "DicomError",
    "DicomImage",
    "DicomIndex",
    "DicomLimits",
    "DicomMeta",
    "DicomVolume",
    "Failure",
    "GeometryError",
    "HeaderError",
    "IndexRow",
    "LabelError",
    "Leak",
    "LimitError",
    "NearDuplicate",
    "NoImageError",
    "NotDicomError",
    "RandomAffine",
    "RandomContrast",
    "RandomFlip",
    "RandomNoise",
    "Sample",
    "ScanError",
    "SplitError",
    "SplitReport",
    "UnsupportedSyntaxError",
    "augment",
    "bone_mask",
    "check_splits",
    "extend_split",
    "kfold_by_patient",
    "make_ankle_phantom",
    "read_dicom",
    "read_series",
    "split_by_patient",
    "split_hash",
    "take_shard",
    "to_float",
    "write_secondary_capture",
]
