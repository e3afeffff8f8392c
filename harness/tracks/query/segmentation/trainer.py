"""nnU-Net's trainer for sparse annotation, in memory: no checkpoints, logs or plots, and seeds that are ours.

As in nnActive's trainer (Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive), the Dice loss has no smoothing term,
and crops that need not show foreground lie anywhere around annotated voxels.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from harness.spec.query import NnUNetTraining
from harness.tracks.query.segmentation.plans import NetworkInput, NetworkPlan, nnunet_folders
from harness.tracks.torch_state import reproducible_torch


class PreparedCase(NamedTuple):
    """A volume that can be trained on; arrays may be memory-mapped."""

    image: np.ndarray
    """(channels, *shape) float32."""
    labels: np.ndarray
    """(1, *shape) int16: classes, the ignore label, -1 outside of the body."""
    class_locations: Mapping[Any, np.ndarray]
    """Voxels (n, 4) of each class, channel first, and of all annotated ones under a tuple, as nnU-Net samples them."""


def prepare_case(case: NetworkInput, path: Path) -> PreparedCase:
    """A volume that was made with labels, kept in files beside `path`, of which training reads crops only."""
    arrays = []
    for part, array in (("image", case.image), ("labels", case.labels)):
        file = path.with_name(f"{path.name}.{part}.npy")
        file.unlink(missing_ok=True)  # an older one may still be mapped
        np.save(file, array, allow_pickle=False)
        arrays.append(np.load(file, mmap_mode="r", allow_pickle=False))
    places = {label: np.asarray(at, dtype=np.int32) for label, at in case.properties["class_locations"].items()}
    return PreparedCase(arrays[0], arrays[1], places)


class Split(NamedTuple):
    """Cases by name, those trained on and the others."""

    train: Mapping[str, PreparedCase]
    validation: Mapping[str, PreparedCase]


def train_network(
    plan: NetworkPlan,
    training: NnUNetTraining,
    split: Split,
    seed: int,
    device: str,
    report: Callable[[str, float], None],
) -> dict[str, np.ndarray]:
    """Weights by name after the last epoch. The same arguments give the same weights on the same machine."""
    with deterministic(seed, device), tempfile.TemporaryDirectory(prefix="harness-nnunet-") as folder:
        with nnunet_folders(Path(folder)):
            trainer = SparseTrainer.of(plan, training, split, device)
            trainer.on_train_start()
        for epoch in range(training.epochs):
            dice = trainer.run_epoch()
            seen = "" if np.isnan(dice) else f", Dice {dice:.2f} on its fold"
            report(f"epoch {epoch + 1} of {training.epochs}{seen}", (epoch + 1) / training.epochs)
        return network_weights(trainer.network)


def network_weights(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers by name, each once although modules share them."""
    plain = getattr(network, "_orig_mod", network)  # the network behind torch.compile
    named = {**dict(plain.named_parameters()), **dict(plain.named_buffers())}
    return {name: value.detach().cpu().numpy().copy() for name, value in named.items()}


@contextlib.contextmanager
def deterministic(seed: int, device: str = "cpu") -> Iterator[None]:
    """Everything that nnU-Net draws from, seeded, on one thread; afterwards all is as if nothing had been drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    with reproducible_torch(seed, device):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy)
            random.setstate(python)


class SparseTrainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer with the constants of a protocol, on cases that are given instead of searched for."""

    @classmethod
    def of(cls, plan: NetworkPlan, training: NnUNetTraining, split: Split, device: str) -> SparseTrainer:
        """A trainer of these cases; the constructor must keep the arguments of nnU-Net's own, which it looks up by name."""
        trainer = cls(dict(plan.plans), plan.name, 0, plan.dataset, torch.device(device))
        trainer.initial_lr, trainer.weight_decay = training.learning_rate, training.weight_decay
        trainer._momentum = training.momentum
        trainer.num_epochs = training.epochs
        trainer.num_iterations_per_epoch = training.iterations
        trainer.num_val_iterations_per_epoch = training.validation_iterations
        trainer._mirroring, trainer._split = training.mirroring, split
        return trainer

    def initialize(self) -> None:
        # The trainer tells the format of its cases from a folder; ours have none, but an empty folder is an error.
        folder = Path(self.preprocessed_dataset_folder)
        folder.mkdir(parents=True)
        (folder / "none.npz").touch()
        super().initialize()

    def on_train_start(self) -> None:
        self.initialize()
        self.dataloader_train, self.dataloader_val = self.get_dataloaders()
        self.set_deep_supervision_enabled(self.enable_deep_supervision)

    def run_epoch(self) -> float:
        """An epoch and the Dice of its validation crops, which nothing depends on; nan where these show no class."""
        self.on_train_epoch_start()
        self.on_train_epoch_end(
            [self.train_step(next(self.dataloader_train)) for _ in range(self.num_iterations_per_epoch)]
        )
        with torch.no_grad(), warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # means over no class
            self.on_validation_epoch_start()
            steps = range(self.num_val_iterations_per_epoch)
            self.on_validation_epoch_end([self.validation_step(next(self.dataloader_val)) for _ in steps])
        self.current_epoch += 1
        return float(self.logger.get_value("mean_fg_dice", step=-1))

    def get_dataloaders(self) -> tuple[SparseLoader, SparseLoader]:
        scales = self._get_deep_supervision_scales()
        rotation, flat, initial_size, mirror_axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        size = self.configuration_manager.patch_size
        regions = self.label_manager.foreground_regions if self.label_manager.has_regions else None
        known = {"regions": regions, "ignore_label": self.label_manager.ignore_label}
        augment = self.get_training_transforms(
            size,
            rotation,
            scales,
            mirror_axes,
            flat,
            use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
            **known,
        )
        _forget_timings(augment)
        keep = self.get_validation_transforms(scales, **known)
        return (
            self._loader(self._split.train, initial_size, augment),
            self._loader(self._split.validation, size, keep),
        )

    def configure_optimizers(self) -> tuple[Any, Any]:
        optimizer, schedule = super().configure_optimizers()
        for group in optimizer.param_groups:
            group["momentum"] = self._momentum
        return optimizer, schedule

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, Any]:  # noqa: N802
        rotation, flat, initial_size, mirror_axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return rotation, flat, initial_size, mirror_axes if self._mirroring else None

    def print_to_log_file(self, *args: object, **options: object) -> None:
        """No log file: nobody would read it."""

    def _build_loss(self) -> nn.Module:
        loss: Any = super()._build_loss()
        dice = loss.loss.dc if self.enable_deep_supervision else loss.dc
        # With smoothing, a class that a crop does not show would be rewarded for staying away.
        getattr(dice, "_orig_mod", dice).smooth = 0.0
        return loss  # type: ignore[no-any-return]

    def _loader(self, cases: Mapping[str, PreparedCase], size: Sequence[int], transforms: Any) -> SparseLoader:
        return SparseLoader(
            _Cases(cases),
            self.batch_size,
            size,
            self.configuration_manager.patch_size,
            self.label_manager,
            oversample_foreground_percent=self.oversample_foreground_percent,
            transforms=transforms,
        )


class SparseLoader(nnUNetDataLoader):  # type: ignore[misc]
    """Crops of cases of which a part is annotated."""

    def get_bbox(
        self, data_shape: Any, force_fg: bool, class_locations: Any, overwrite_class: Any = None, verbose: bool = False
    ) -> tuple[list[int], list[int]]:
        """Low and high corner of a crop that shows an annotated voxel, anywhere in it.

        Where foreground is not asked for, nnU-Net would centre the crop on that voxel, and its border would hardly ever
        be trained on. The centre is shifted by a uniform offset per axis that keeps the voxel in the crop and the
        centre in the image.
        """
        annotated = class_locations[self.annotated_classes_key]
        if force_fg or len(annotated) == 0:
            low, high = super().get_bbox(data_shape, force_fg, class_locations, overwrite_class, verbose)
            return low, high
        voxel = annotated[np.random.choice(len(annotated))][1:]
        low = []
        for at, end, extent, final, pad in zip(
            voxel, data_shape, self.patch_size, self.final_patch_size, self.need_to_pad, strict=True
        ):
            # The crop of the network, `final`, is the middle of what is cut out for augmentation, `extent`.
            back, forth = min(at, final - final // 2 - 1), min(end - 1 - at, final // 2)
            centre = at + np.random.randint(-back, forth + 1)
            lowest = -(max(pad, extent - end) // 2)
            low.append(int(max(lowest, centre - extent // 2)))
        return low, [start + int(extent) for start, extent in zip(low, self.patch_size, strict=True)]


class _Cases(nnUNetBaseDataset):  # type: ignore[misc]
    """Prepared cases as nnU-Net's loader asks for them."""

    def __init__(self, cases: Mapping[str, PreparedCase]) -> None:
        super().__init__("", sorted(cases))
        self._cases = cases

    def load_case(self, identifier: str) -> tuple[np.ndarray, np.ndarray, None, dict[str, Any]]:
        case = self._cases[identifier]
        properties = {"class_locations": case.class_locations}
        return case.image.view(_CopiedOnAccess), case.labels.view(_CopiedOnAccess), None, properties

    @staticmethod
    def save_case(*args: object, **options: object) -> None:
        raise NotImplementedError("cases are kept in memory")

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        raise NotImplementedError("cases are kept in memory")


class _CopiedOnAccess(np.ndarray):
    """Augmentation works in place; what it is given must not be the case itself."""

    def __getitem__(self, index: Any) -> Any:
        return np.array(super().__getitem__(index))


def _forget_timings(augment: Any) -> None:
    """Blur by one algorithm: nnU-Net would time two, of other rounding, and take the faster."""
    for each in augment.transforms:
        blur = getattr(each, "transform", each)
        if isinstance(blur, GaussianBlurTransform):
            blur.benchmark = False
