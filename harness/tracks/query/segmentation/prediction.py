"""What trained networks make of volumes: probabilities and features, by nnU-Net's sliding window."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from harness.tracks.query.segmentation.plans import NetworkInput, NetworkPlan

Weights = Mapping[str, np.ndarray]


class Window:
    """A sliding window with a plan's network, whose weights come with each call.

    `step` is that of the window, in patches. With `mirroring`, predictions are means over all mirrored inputs.
    """

    def __init__(self, plan: NetworkPlan, device: str, step: float, *, mirroring: bool = False) -> None:
        self._plan = plan
        self._device = torch.device(device)
        self._network = nnUNetTrainer.build_network_architecture(
            plan.manager,
            plan.configuration,
            len(plan.dataset["channel_names"]),
            plan.labels.num_segmentation_heads,
            enable_deep_supervision=False,
        ).to(self._device)
        self._step = step
        with contextlib.redirect_stdout(io.StringIO()):
            self._predictor = nnUNetPredictor(
                tile_step_size=step,
                use_gaussian=True,
                use_mirroring=mirroring,
                perform_everything_on_device=self._device.type == "cuda",
                device=self._device,
                allow_tqdm=False,
            )
        torch.backends.cudnn.benchmark = False  # the predictor turns it on; it chooses algorithms by their speed
        axes = tuple(range(len(plan.patch_size))) if mirroring else None
        self._predictor.manual_initialization(
            self._network, plan.manager, plan.configuration, None, plan.dataset, "", axes
        )

    def probabilities(self, case: NetworkInput, weights: Weights) -> np.ndarray:
        """(classes, *shape) float32 as `outputs`, which sum to 1: of regions too."""
        return self._plan.class_probabilities(self.outputs(case, weights))

    def outputs(self, case: NetworkInput, weights: Weights) -> np.ndarray:
        """Softmax (classes, *shape) float32 in the image's own axes and extent; background where it was cropped.

        Where regions are learned: the probability of each, (regions, *shape).
        """
        self._load(weights)
        logits = self._predictor.predict_sliding_window_return_logits(torch.from_numpy(case.image)).cpu().float()
        _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._plan.manager,
            self._plan.configuration,
            self._plan.labels,
            dict(case.properties),
            return_probabilities=True,
            num_threads_torch=torch.get_num_threads(),
        )
        return self._plan.flattened(np.asarray(probabilities, dtype=np.float32))

    @torch.inference_mode()
    def features(self, case: NetworkInput, weights: Weights) -> np.ndarray:
        """The encoder's second-deepest stage, (d, *coarse) float32, on a grid that covers the image evenly.

        Mean over all windows, then over the cells of the grid, which are about as large as those of the stage.
        """
        self._load(weights)
        self._network.eval()
        strides = np.prod(np.array(self._plan.configuration.pool_op_kernel_sizes)[:-1], axis=0)
        image, size = torch.from_numpy(self._plan.flattened(case.image)), self._plan.patch_size
        cells = [
            -(-max(end, extent) // stride) for end, extent, stride in zip(image.shape[1:], size, strides, strict=True)
        ]
        padded = torch.zeros((len(image), *(n * stride for n, stride in zip(cells, strides, strict=True))))
        padded[(slice(None), *map(slice, image.shape[1:]))] = image
        total: np.ndarray | None = None
        seen = np.zeros(cells)
        for corner in self._corners(cells, strides):
            crop = tuple(slice(at * s, at * s + extent) for at, s, extent in zip(corner, strides, size, strict=True))
            stages = self._network.encoder(padded[(slice(None), *crop)][None].to(self._device))
            found = stages[-2 if len(stages) > 1 else -1][0].float().cpu().numpy()
            total = np.zeros((len(found), *cells), dtype=np.float32) if total is None else total
            here = tuple(slice(at, at + n) for at, n in zip(corner, found.shape[1:], strict=True))
            total[(slice(None), *here)] += found
            seen[here] += 1
        assert total is not None  # there is at least one window
        return self._evenly(total / seen, strides, case)

    def _corners(self, cells: Sequence[int], strides: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Low corners of windows, in cells."""
        window = [extent // stride for extent, stride in zip(self._plan.patch_size, strides, strict=True)]
        steps = compute_steps_for_sliding_window(tuple(cells), tuple(window), self._step)
        yield from itertools.product(*steps)

    def _evenly(self, features: np.ndarray, strides: Sequence[int], case: NetworkInput) -> np.ndarray:
        """Means over an even grid of the whole image, in its axes; 0 where it was cropped."""
        extents = case.properties["shape_before_cropping"][-len(strides) :]
        spans = case.properties["bbox_used_for_cropping"][-len(strides) :]
        for axis, (extent, (start, stop), stride) in enumerate(zip(extents, spans, strides, strict=True), start=1):
            edges = np.linspace(0, extent, max(1, extent // int(stride)) + 1)
            corners = np.minimum(start + np.arange(features.shape[axis] + 1) * stride, stop)
            low = np.maximum(edges[:-1, None], corners[None, :-1])
            high = np.minimum(edges[1:, None], corners[None, 1:])
            shared = np.clip(high - low, 0, None)
            shares = shared / np.maximum(shared.sum(axis=1, keepdims=True), 1e-9)
            features = np.moveaxis(np.tensordot(shares, features, axes=(1, axis)), 0, axis)
        return self._plan.in_image_axes(features).astype(np.float32)

    def _load(self, weights: Weights) -> None:
        state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        # The decoder knows the encoder too; the state names every weight once.
        unexpected = self._network.load_state_dict(state, strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"the weights are not those of the plan's network: {unexpected[0]} is not in it.")


def ensemble_outputs(window: Window, case: NetworkInput, networks: Sequence[Weights]) -> np.ndarray:
    """Mean `Window.outputs` of several networks, float32."""
    total = window.outputs(case, networks[0])
    for weights in networks[1:]:
        total += window.outputs(case, weights)
    return total / len(networks)
