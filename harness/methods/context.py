"""What XAI methods and their metrics may ask for beyond what they are called with: the optional argument `context`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from harness.methods.outputs import NotOfferedError
from harness.spec.method import Architecture, Modality

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Offered = TypeVar("Offered")


@dataclass(frozen=True)
class Anatomy:
    """Names of the parts of a model that some methods look into; None where the model has no such part.

    cam_layer: its output are the activations (n, channels, *grid), or tokens (n, 1 + t, dim), for class activation
    maps. blocks: a sequence of transformer blocks (see `Context.blocks`). grid: how the t tokens behind the class
    token lie in space. representation: its output is the inner representation.
    """

    cam_layer: str | None = None
    blocks: str | None = None
    grid: tuple[int, ...] | None = None
    representation: str | None = None


class Context:
    """One call's surroundings. What the model at hand does not have raises `NotOfferedError` (*not applicable*)."""

    def __init__(
        self,
        model: nn.Module,
        modality: Modality,
        architecture: Architecture,
        *,
        anatomy: Anatomy = Anatomy(),
        background: Tensor | None = None,
        seed: int = 0,
        metrics: Callable[..., Callable[..., Tensor]] | None = None,
    ) -> None:
        self.modality: Modality = modality
        self.architecture: Architecture = architecture
        self.seed = seed
        self._model = model
        self._anatomy = anatomy
        self._background = background
        self._metrics = metrics

    @property
    def background(self) -> Tensor:
        """(b, c, *spatial): inputs of the training set, the same for every call; its hash is part of the protocol."""
        return _offered(self._background, "a background set")

    @property
    def generator(self) -> torch.Generator:
        """A new generator with this call's seed, on the CPU. Global seeds are set as well."""
        import torch

        return torch.Generator().manual_seed(self.seed)

    def metric(self, id: str, **constants: Any) -> Callable[..., Tensor]:
        """For metrics of attribution maps: one of the harness's own, to build on. `harness list metrics` names them.

        Among the constants may be `reading="latec"`: LATEC's own definition, and its constants for those not given.
        The result maps (model, inputs, targets, maps) to scores (n,) float64; it draws from this call's seed. UsageError
        for an unknown name or constant, LookupError for a metric that asks for masks or for further maps.
        """
        return _offered(self._metrics, "metrics of attribution maps, which only such metrics get")(id, **constants)

    @property
    def cam_layer(self) -> nn.Module:
        """The layer whose output class activation maps weigh."""
        return self._model.get_submodule(_offered(self._anatomy.cam_layer, "a layer for class activation maps"))

    @property
    def blocks(self) -> list[nn.Module]:
        """Transformer blocks, first to last.

        Those of the bundled networks are pre-norm and have `norm1`, `attention` (with `qkv`: Linear dim -> 3 dim,
        `heads`, `softmax`: a module whose output are the attention probabilities (n, heads, tokens, tokens),
        `projection`: Linear), `norm2` and `mlp` (Sequential of Linear, activation, Linear); others may have other parts.
        """
        parts = self._model.get_submodule(_offered(self._anatomy.blocks, "transformer blocks"))
        return list(parts.children())

    @property
    def block_count(self) -> int | None:
        """How many transformer blocks there are; None where they are not named."""
        return None if self._anatomy.blocks is None else len(self.blocks)

    @property
    def grid(self) -> tuple[int, ...]:
        """Spatial shape of the tokens behind the class token, e.g. (7, 7)."""
        return _offered(self._anatomy.grid, "a grid of tokens")


def _offered(value: Offered | None, what: str) -> Offered:
    if value is None:
        raise NotOfferedError(f"this model does not offer {what}")
    return value
