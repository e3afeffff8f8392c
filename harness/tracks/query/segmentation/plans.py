"""How nnU-Net plans a network for a data set, and how it turns a volume into the network's input.

Isensee et al. 2021, "nnU-Net", Nature Methods. Everything runs in this process: nnU-Net's own commands start pools of
processes, which take longer than the work on small data.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from nnunetv2.configuration import ANISO_THRESHOLD
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from harness.spec.errors import UsageError
from harness.spec.query import NnUNetTraining
from harness.storage import write_json
from harness.tracks.query.segmentation.cases import Cases

VOLUMES, FLAT = "3d_fullres", "2d"
"""nnU-Net's names of the configurations that are used."""
DATASET = "Dataset001_Pool"
_INTENSITIES = 10_000_000  # voxels that intensity statistics rest on, of all images together
_FEATURES, _MOST_FEATURES = 32, {VOLUMES: 320, FLAT: 512}  # of the first and of any stage, as in nnU-Net
_SLICE = 999.0  # spacing of the only slice of a flat image, in its pixels, as nnU-Net's readers give it
_FEWEST_STAGES = 3
_SMALLEST_EDGE = 4  # of a feature map, as in nnU-Net
_MANY = 999_999  # poolings per axis, as in nnU-Net


class NetworkInput(NamedTuple):
    """An image as the network sees it: cropped to what is not zero, normalised, the coarsest axis first.

    nnU-Net takes flat images for volumes of one slice.
    """

    image: np.ndarray
    """(channels, *shape) float32."""
    labels: np.ndarray
    """(1, *shape) int16, -1 outside of the body."""
    properties: Mapping[str, Any]
    """What nnU-Net needs to undo it, and `class_locations` where labels were given."""


class NetworkPlan:
    """nnU-Net's plan for a pool whose annotation has begun, with the changes that a protocol makes to it."""

    def __init__(self, plans: dict[str, Any], dataset: dict[str, Any]) -> None:
        self.plans = plans
        self.dataset = dataset
        self.manager = PlansManager(plans)
        self.name = VOLUMES if VOLUMES in plans["configurations"] else FLAT
        self.configuration = self.manager.get_configuration(self.name)
        self.labels = self.manager.get_label_manager(dataset)
        self._preprocessor = self.configuration.preprocessor_class(verbose=False)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Of the network, in its order of axes."""
        return tuple(int(extent) for extent in self.configuration.patch_size)

    def network_input(self, image: np.ndarray, labels: np.ndarray | None = None) -> NetworkInput:
        """From (channels, *shape), and labels (*shape) in which the ignore label stands for unknown."""
        properties: dict[str, Any] = {"spacing": list(_with_slice(self.spacing))}
        segmentation = None if labels is None else _as_volume(labels[None].astype(np.int16))
        data, prepared, properties = self._preprocessor.run_case_npy(
            _as_volume(image), segmentation, properties, self.manager, self.configuration, self.dataset
        )
        return NetworkInput(data.astype(np.float32, copy=False), prepared.astype(np.int16, copy=False), properties)

    @property
    def spacing(self) -> tuple[float, ...]:
        """In the order of the image's axes."""
        return tuple(float(self.configuration.spacing[axis]) for axis in self._backward)

    def in_image(self, array: np.ndarray, properties: Mapping[str, Any]) -> np.ndarray:
        """An array (channels, *shape of the network's input) in the axes and extent of the image, 0 where cropped."""
        full = np.zeros((len(array), *properties["shape_before_cropping"]), dtype=array.dtype)
        full[(slice(None), *(slice(*span) for span in properties["bbox_used_for_cropping"]))] = array
        return self.in_image_axes(self.flattened(full))

    def in_image_axes(self, array: np.ndarray) -> np.ndarray:
        """(channels, *shape) in the network's order of axes, in that of the image."""
        return array.transpose(0, *(axis + 1 for axis in self._backward))

    def flattened(self, array: np.ndarray) -> np.ndarray:
        """(channels, *shape) as nnU-Net has it, of flat images without the axis of their only slice."""
        return array[:, 0] if self.name == FLAT else array

    def segmentation(self, outputs: np.ndarray) -> np.ndarray:
        """Classes (*shape) by nnU-Net's rule, of a network's outputs (classes or regions, *shape)."""
        return np.asarray(self.labels.convert_probabilities_to_segmentation(outputs))

    def class_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """(classes, *shape) which sum to 1, of outputs (classes or regions, *shape).

        nnU-Net writes regions one over the other. Were each found independently with its probability, the class of a
        voxel would be that of the last one found, and the background where none is.
        """
        if not self.labels.has_regions:
            return outputs
        classes = np.zeros((len(self.labels.all_labels), *outputs.shape[1:]), dtype=np.float32)
        left = np.ones(outputs.shape[1:], dtype=np.float32)
        for region, written in reversed(list(zip(outputs, self.labels.regions_class_order, strict=True))):
            classes[written] += left * region
            left *= 1 - region
        classes[0] += left
        return classes

    @property
    def _backward(self) -> tuple[int, ...]:
        """Which axis of the network each of the image is. Those of flat images stay, behind the axis of the slice."""
        axes = tuple(int(axis) for axis in self.manager.transpose_backward)
        return tuple(axis - 1 for axis in axes[1:]) if self.name == FLAT else axes


def make_plan(cases: Cases, known: Callable[[str], np.ndarray], training: NnUNetTraining) -> NetworkPlan:
    """Fingerprint and plan of the whole pool; `known` gives an image's labels, unknown ones as the ignore label.

    As in nnActive, where the fingerprint sees every image of the pool and counts unknown voxels as foreground. Raises
    UsageError for volumes that nnU-Net plans no 3d_fullres for, and for constants that do not fit the plan.
    """
    dataset = _dataset_json(cases)
    plans = _planned(dataset, _fingerprint(cases, known))
    if len(cases.spacing) == 3 and VOLUMES not in plans["configurations"]:
        raise UsageError(
            "nnU-Net plans no 3d_fullres for volumes of one slice; save them as flat images, such as .png or .nii.gz of two "
            "axes."
        )
    _change(plans, training)
    # The trainer asks for this key; nothing is ever continued from nnU-Net's own checkpoints.
    return NetworkPlan({**plans, "continue_training": False}, dataset)


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """The spacing that is planned for images of these spacings and shapes, all in one order of axes."""
    # The planner's rule alone: a whole planner would want labels on disk.
    planner = SimpleNamespace(
        overwrite_target_spacing=None,
        anisotropy_threshold=ANISO_THRESHOLD,
        dataset_fingerprint={
            "spacings": [_with_slice(each) for each in spacings],
            "shapes_after_crop": [_shape_with_slice(each) for each in shapes],
        },
    )
    steps = ExperimentPlanner.determine_fullres_target_spacing(planner)[-len(spacings[0]) :]
    return tuple(float(step) for step in steps)


def resampled(array: np.ndarray, old: Sequence[float], new: Sequence[float], *, labels: bool) -> np.ndarray:
    """(channels, *shape) in another spacing: cubic for images, linear per class for labels, as nnU-Net does it."""
    # The only slice of a flat image stays one.
    before, after = ((step if len(step) == 3 else (_SLICE, *step)) for step in (old, new))
    volume = _as_volume(array)
    shape = compute_new_shape(volume.shape[1:], before, after)
    options = {"is_seg": True, "order": 1} if labels else {"is_seg": False, "order": 3}
    result: np.ndarray = resample_data_or_seg_to_shape(
        volume, shape, before, after, order_z=0, force_separate_z=None, **options
    )
    return result if array.ndim == 4 else result[:, 0]


def _as_volume(array: np.ndarray) -> np.ndarray:
    """(channels, z, y, x), of (channels, y, x) with one slice."""
    return array if array.ndim == 4 else array[:, None]


def _with_slice(spacing: Sequence[float]) -> tuple[float, ...]:
    return tuple(spacing) if len(spacing) == 3 else (_SLICE * max(spacing), *spacing)


def _shape_with_slice(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape) if len(shape) == 3 else (1, *shape)


@contextlib.contextmanager
def nnunet_folders(folder: Path) -> Iterator[None]:
    """nnU-Net in a folder of ours, without a word on the terminal: it takes its settings from the environment."""
    ours = {
        **{f"nnUNet_{part}": str(folder / part) for part in ("raw", "preprocessed", "results")},
        "nnUNet_n_proc_DA": "1",  # of 0, planning makes a number of threads
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _dataset_json(cases: Cases) -> dict[str, Any]:
    foreground: dict[str, Any] = {name: number for number, name in enumerate(cases.classes) if number > 0}
    if cases.regions:
        foreground = {each.name: list(each.classes) for each in cases.regions}
    return {
        "channel_names": {str(number): name for number, name in enumerate(cases.channels)},
        "labels": {"background": 0, **foreground, "ignore": len(cases.classes)},
        **({"regions_class_order": [each.written for each in cases.regions]} if cases.regions else {}),
        "numTraining": len(cases.pool),
        "file_ending": cases.file_ending,
        "overwrite_image_reader_writer": "SimpleITKIO",
        # Named here, the files are not searched for; planning does not open them.
        "dataset": {name: {"images": [f"{name}_0000"], "label": name} for name in cases.pool},
    }


def _fingerprint(cases: Cases, known: Callable[[str], np.ndarray]) -> dict[str, Any]:
    samples = max(1, min(_INTENSITIES // len(cases.pool), max(int(np.prod(cases.shapes[name])) for name in cases.pool)))
    shapes, sizes, intensities = [], [], []
    for name in cases.pool:
        data, segmentation, _ = crop_to_nonzero(_as_volume(cases.image(name)), _as_volume(known(name)[None]))
        shapes.append([int(extent) for extent in data.shape[1:]])
        sizes.append(float(np.prod(shapes[-1]) / np.prod(cases.shapes[name])))
        drawn, _ = DatasetFingerprintExtractor.collect_foreground_intensities(segmentation, data, num_samples=samples)
        intensities.append([np.asarray(channel, dtype=np.float32) for channel in drawn])
    channels = [np.concatenate(channel) for channel in zip(*intensities, strict=True)]
    return {
        "spacings": [list(_with_slice(cases.spacing))] * len(cases.pool),
        "shapes_after_crop": shapes,
        "median_relative_size_after_cropping": float(np.median(sizes)),
        "foreground_intensity_properties_per_channel": {
            str(number): _intensity_properties(values) for number, values in enumerate(channels)
        },
    }


def _intensity_properties(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.percentile(values, (0.5, 50.0, 99.5))
    return {
        "mean": float(np.mean(values)),
        "median": float(median),
        "std": float(np.std(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
        "percentile_00_5": float(low),
        "percentile_99_5": float(high),
    }


def _planned(dataset: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="harness-plan-") as folder, nnunet_folders(Path(folder)):
        raw, preprocessed = Path(folder, "raw", DATASET), Path(folder, "preprocessed", DATASET)
        for each in (raw, preprocessed):
            each.mkdir(parents=True)
        write_json(raw / "dataset.json", dataset)
        write_json(preprocessed / "dataset_fingerprint.json", fingerprint)
        plans: dict[str, Any] = ExperimentPlanner(DATASET).plan_experiment()
    return plans


def _change(plans: Mapping[str, Any], training: NnUNetTraining) -> None:
    """Put the protocol's own constants into nnU-Net's plan."""
    name = VOLUMES if VOLUMES in plans["configurations"] else FLAT
    configuration = plans["configurations"][name]
    axes = plans["transpose_forward"] if name == VOLUMES else (0, 1)
    network, most = configuration["architecture"]["arch_kwargs"], _MOST_FEATURES[name]
    if training.batch_size is not None:
        configuration["batch_size"] = training.batch_size
    if training.patch_size is not None:
        if len(training.patch_size) != len(configuration["spacing"]):
            wanted = "three numbers, (z, y, x)" if name == VOLUMES else "two numbers, (y, x)"
            raise UsageError(f"training {training.id}: patch_size {training.patch_size} needs {wanted}.")
        _, strides, kernels, patch_size, _ = get_pool_and_conv_props(
            configuration["spacing"], [training.patch_size[axis] for axis in axes], _SMALLEST_EDGE, _MANY
        )
        configuration["patch_size"] = [int(extent) for extent in patch_size]
        _set_stages(network, strides, kernels, len(strides), most)
    if training.features_per_stage is not None:
        stages = len(training.features_per_stage)
        if stages > len(network["strides"]):
            raise UsageError(
                f"training {training.id}: features_per_stage names {stages} stages, a patch of "
                f"{tuple(configuration['patch_size'])} allows {len(network['strides'])}; leave the last ones out."
            )
        _set_stages(network, network["strides"], network["kernel_sizes"], stages, most)
        network["features_per_stage"] = list(training.features_per_stage)
    if len(network["strides"]) < _FEWEST_STAGES:
        raise UsageError(
            f"training {training.id}: a network of {len(network['strides'])} stages for patches of "
            f"{tuple(configuration['patch_size'])} is too shallow for nnU-Net, which supervises all but the last two of "
            f"its outputs; give {_FEWEST_STAGES} stages, and a patch of {2 ** (_FEWEST_STAGES - 1) * _SMALLEST_EDGE} voxels."
        )


def _set_stages(
    network: dict[str, Any], strides: Sequence[Any], kernels: Sequence[Any], stages: int, most: int
) -> None:
    """A U-Net of the first `stages` stages, of at most `most` features."""
    network["n_stages"] = stages
    network["strides"] = [[int(step) for step in stride] for stride in strides[:stages]]
    network["kernel_sizes"] = [[int(extent) for extent in kernel] for kernel in kernels[:stages]]
    network["features_per_stage"] = [min(most, _FEATURES << stage) for stage in range(stages)]
    network["n_conv_per_stage"] = [2] * stages
    network["n_conv_per_stage_decoder"] = [2] * (stages - 1)
