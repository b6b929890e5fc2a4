"""A torch dataset over an index of DICOM images, decoded on the fly or from a cache."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from seattn.data.arguments import check_whole
from seattn.data.cache import Cache, CacheDtype, build_cache
from seattn.data.dicom import Units
from seattn.data.errors import DicomError
from seattn.data.index import DicomIndex, OnError
from seattn.data.limits import DicomLimits
from seattn.data.preprocess import Preprocessing
from seattn.data.sample import Sample

__all__ = ["BatchLoader", "DicomDataset"]


class DicomDataset(Dataset[Any]):
    """The images of an index as tensors of one size, with labels and masks.

    ``dataset[i]`` is a ``Sample``. It fits a plain ``torch.utils.data.DataLoader``, with or without
    workers; ``dataset.loader(batch_size)`` is faster where the images are cached, because it
    gathers whole batches and a cached image costs less than its way out of a worker. Workers gather
    whole batches with ``DataLoader(range(len(dataset)), collate_fn=dataset.batch, ...)``.

    With a cache, every file is read when the dataset is made, so a bad file is an error before
    training starts, and not in the middle of an epoch. Without one it is an error when it is asked
    for. No other image ever takes its place, and no epoch ends early.

    Args:
        index: The images. A row without a label gets the label -1.
        size: Height and width in pixels, or one number for both.
        units: As in ``read_dicom``: "window" and "minmax" give images in 0..1.
        window: As in ``read_dicom``: (center, width) for every image, or None for the file's own.
        bone_mask: Whether to set what lies outside the bones to 0, as Wang et al. (2024) do; of
            images in Hounsfield units only. ``seattn.data.roi.bone_mask`` finds the bones.
        voi: As in ``read_dicom``: which of the windows or VOI LUTs that a file declares.
        force: As in ``read_dicom``: whether files without the prefix of PS3.10 are read. A scan
            leaves them out, so they are in an index that you made yourself.
        limits: As in ``read_dicom``: how much a file may ask for. What a cache holds already is
            taken from there whatever the limits.
        cache: A folder for decoded images, see ``seattn.data.cache.build_cache``; None decodes
            each image whenever it is asked for.
        segment: Where masks are DICOM segmentations: the number of the segment; None if each file
            has but one.
        dtype: How the cache stores pixels, "uint8", "float16" or "float32"; 256 grey levels are
            what the window was made to be shown in.
        as_float: Whether images come as float32. False hands them out as the cache stores them,
            which is a quarter of the memory and of the way to a GPU for "uint8"; ``augment`` and
            ``to_float`` make float32 of them there.
        as_dict: Whether ``dataset[i]`` is a dictionary with the fields of ``Sample`` as its keys,
            for transforms in the manner of MONAI.
        workers: How many processes decode while the cache is built; 0 is this process. A file that
            crashes a decoder ends the process it is in; with workers it is one bad file more.
        on_error: "raise" if files cannot be used, or "skip" them: their rows move from ``index``
            to its ``failures``, and a warning counts them. Only a cache can skip. A split made
            before does not know; to split what is left, make a dataset of the whole index first,
            and split its ``index``.
        redact_paths: Whether errors name "row 7" instead of a path. The row is the position in
            the index that was given.

    Attributes:
        index: The images, without those that were skipped.

    Raises:
        CacheError: With a cache: files cannot be used; all of them are listed.
        TypeError: ``index`` is no ``DicomIndex``, or ``limits`` no ``DicomLimits``.
        ValueError: An argument is not possible, two contradict each other, or with a cache the
            index is empty.

    Examples:
        >>> import os
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from seattn.data.dataset import DicomDataset
        >>> from seattn.data.index import DicomIndex, IndexRow
        >>> file = Path(get_testdata_file("CT_small.dcm"))
        >>> row = IndexRow(file.name, 0, "p", "s", "s", "axial", 128, 128, 39206, 0, label=1)
        >>> index = DicomIndex(file.parent, (row,), (), ("normal", "fracture"))
        >>> dataset = DicomDataset(index, size=64, window=(400, 1800))
        >>> image, label, mask, row = dataset[0]
        >>> image.shape, label, mask.unique()
        (torch.Size([1, 64, 64]), tensor(1), tensor([255], dtype=torch.uint8))
    """

    def __init__(
        self,
        index: DicomIndex,
        *,
        size: int | tuple[int, int] = 224,
        units: Units = "window",
        window: Sequence[float] | None = None,
        bone_mask: bool = False,
        segment: int | None = None,
        voi: int = 0,
        force: bool = False,
        limits: DicomLimits = DicomLimits(),  # noqa: B008
        cache: str | os.PathLike[str] | None = None,
        dtype: CacheDtype = "uint8",
        as_float: bool = True,
        as_dict: bool = False,
        workers: int = 0,
        on_error: OnError = "raise",
        redact_paths: bool = False,
    ) -> None:
        if not isinstance(index, DicomIndex):
            raise TypeError(
                f"`index` (of type {type(index).__name__}) must be a DicomIndex, as "
                "`DicomIndex.scan(folder)` makes it."
            )
        if cache is None and (not as_float or workers or on_error != "raise"):
            raise ValueError(
                f"`as_float` (={as_float}), `workers` (={workers}) and `on_error` (={on_error!r}) "
                "other than True, 0 and 'raise' need a `cache`."
            )
        self.as_dict = as_dict
        self._as_float = as_float
        self._redact_paths = redact_paths
        self._preprocessing = Preprocessing(
            size=size if isinstance(size, tuple | list) else (size, size),
            units=units,
            window=window,
            bone_mask=bone_mask,
            segment=segment,
            voi=voi,
            force=force,
            limits=limits,
        )
        self._cache: Cache | None = None
        if cache is not None:
            self._cache, index = build_cache(
                index,
                self._preprocessing,
                cache,
                dtype=dtype,
                workers=workers,
                on_error=on_error,
                redact_paths=redact_paths,
            )
        self.index = index
        labels = [-1 if row.label is None else row.label for row in index.rows]
        self._labels = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.index)

    def __getitem__(self, position: int) -> Any:
        """Return one sample."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """Return the samples at some positions; a ``DataLoader`` asks for its batches here."""
        samples = [Sample(*fields) for fields in zip(*self.batch(positions), strict=True)]
        return [sample._asdict() for sample in samples] if self.as_dict else samples

    def batch(self, positions: Sequence[int] | NDArray[np.int64]) -> Sample:
        """Return the images at some positions as one batch.

        Raises:
            DicomError: Without a cache: a file cannot be used, or images have other channels.
            IndexError: A position is out of range.
            TypeError: Positions are no whole numbers.
        """
        wanted = np.asarray(positions)
        if wanted.size and (wanted.ndim != 1 or wanted.dtype.kind not in "iu"):
            raise TypeError("`positions` must be a sequence of whole numbers, one for each image.")
        rows = np.arange(len(self))[wanted.astype(np.int64)]
        if self._cache is not None:
            image = self._cache.images(rows, as_float=self._as_float)
            mask = self._cache.masks(rows)
        else:
            pairs = [self._decode(row) for row in rows]
            self._check_channels(rows, [len(image) for image, _ in pairs])
            image, mask = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
        row = torch.from_numpy(rows)
        return Sample(image=image, label=self._labels[row], mask=mask, row=row)

    def _decode(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            return self._preprocessing(self.index.root, self.index.rows[row])
        except DicomError as problem:
            name = f"row {row}" if self._redact_paths else problem.path
            error = type(problem)(name, problem.stage, problem.reason)
        raise error  # out here, it carries no other whose text names the file

    def _check_channels(self, rows: NDArray[np.int64], channels: Sequence[int]) -> None:
        for row, number in zip(rows, channels, strict=True):
            if number != channels[0]:
                name = f"row {row}" if self._redact_paths else self.index.rows[row].path
                reason = f"{number} channels, where the first image of the batch has {channels[0]}"
                raise DicomError(name, "channels", reason)

    def verify_cache(self) -> None:
        """Read the images of the dataset from the cache, and compare each with its checksum.

        Raises:
            CacheError: Rows are damaged: their positions are listed.
            ValueError: The dataset has no cache.
        """
        if self._cache is None:
            raise ValueError("There is no `cache` to verify: the dataset was made without one.")
        self._cache.verify()

    def loader(
        self, batch_size: int, *, shuffle: bool = False, seed: int = 0, drop_last: bool = False
    ) -> "BatchLoader":
        """Go through the dataset in batches, in this process.

        Args:
            batch_size: Images in a batch.
            shuffle: Whether the order is random; then it is a pure function of ``seed`` and of the
                epoch that ``set_epoch`` sets.
            seed: The seed of the order.
            drop_last: Whether to leave out a last batch that is not full.

        Returns:
            What can be iterated over again and again, yields a ``Sample`` for each batch, and has a
            ``len``.

        Raises:
            ValueError: ``batch_size`` is not positive, or ``seed`` negative.
        """
        return BatchLoader(self, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)


@dataclass
class BatchLoader:
    """The batches of a dataset, as ``DicomDataset.loader`` describes them.

    Args:
        dataset: The images.
        batch_size: Images in a batch; the last one may have fewer.
        shuffle: Whether each pass has an order of its own.
        seed: With the epoch it sets that order, 0 or more.
        drop_last: Whether a last batch with fewer images is left out.
        epoch: Of the next pass; ``set_epoch`` changes it.

    Raises:
        TypeError: ``batch_size`` or ``seed`` is no whole number.
        ValueError: ``batch_size`` is below 1, or ``seed`` below 0.

    Examples:
        >>> from seattn.data import DicomDataset, DicomIndex, make_ankle_phantom
        >>> labels = make_ankle_phantom("scans", patients=2, variant="roi", progress=False)
        >>> index = DicomIndex.scan("scans", key="a secret of the study", progress=False)
        >>> loader = DicomDataset(index, size=64).loader(batch_size=4, shuffle=True, seed=0)
        >>> [tuple(batch.image.shape) for batch in loader]
        [(4, 1, 64, 64), (2, 1, 64, 64)]
        >>> first = next(iter(loader)).row
        >>> loader.set_epoch(1)
        >>> first, next(iter(loader)).row
        (tensor([3, 2, 5, 4]), tensor([1, 4, 3, 0]))
    """

    dataset: DicomDataset
    batch_size: int
    shuffle: bool = False
    seed: int = 0
    drop_last: bool = False
    epoch: int = 0

    def __post_init__(self) -> None:
        """Check the size and the seed."""
        check_whole("batch_size", self.batch_size, least=1)
        check_whole("seed", self.seed, least=0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the passes from here on; without it each pass has that of epoch 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the batches of a pass."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Sample]:
        """Start a pass."""
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        for i in range(len(self)):
            yield self.dataset.batch(order[i * self.batch_size : (i + 1) * self.batch_size])
