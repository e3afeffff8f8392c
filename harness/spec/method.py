"""What is known of a submitted method before any of its code has run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter

from harness.spec.base import Sha256, Slug, Spec
from harness.spec.kinds import kind_of

Origin = Literal["file", "plug-in", "baseline"]
Need = Literal["inputs", "model", "members"]
Classifier = Literal["point", "mc-mean"]
Modality = Literal["image", "volume", "point-cloud"]
Architecture = Literal["cnn", "transformer"]
Criterion = Literal["faithfulness", "robustness", "complexity", "localisation", "randomisation"]
QueryTask = Literal["segmentation", "classification"]
PoolPart = Literal["members", "features", "inputs", "names"]


class DeclaredMethod(Spec):
    """A method as its source declares it; each kind of method adds what it may declare."""

    task: str
    name: Slug
    version: str = Field(min_length=1, max_length=40)
    origin: Origin
    target: str = Field(description="what the user typed, without folders: margin.py:margin, pkg/name, msr")
    symbol: str = Field(description="name of the decorated function or class in its source")
    source_sha256: Sha256
    oracle: bool = False
    reference: bool = Field(default=False, description="a bound or sanity row, not a competitor")
    citation: str = ""
    summary: str = ""


class ConfidenceMethod(DeclaredMethod):
    """A confidence scoring function.

    `needs` names what it wants beyond the outputs of a model: its `inputs`, the `model` itself, and `members` of
    Monte-Carlo dropout where these are only computed for methods that want them; `head` restricts it to models that
    carry a trained confidence head of that name; `classifier` says whose predictions its confidence
    speaks about: the network's own, or the mean over the Monte-Carlo-dropout members. An `oracle`
    reads the outcomes themselves: it is a bound, never a competitor.
    """

    task: Literal["confidence"]
    needs: tuple[Need, ...] = ()
    head: Slug | None = None
    classifier: Classifier = "point"


class AttributionMethod(DeclaredMethod):
    """An XAI method. On other modalities and architectures than it is made for it is not applicable."""

    task: Literal["attribution"]
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)] = ("image", "volume", "point-cloud")
    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = ("cnn", "transformer")
    stochastic: bool = Field(default=False, description="maps of one input differ from seed to seed")


class AttributionMetricMethod(DeclaredMethod):
    """A metric of attribution maps. On other modalities and architectures than it is made for it is not applicable.

    `criterion` is what it claims to measure. `variant_of` names a metric of the harness that it is a version of: the
    consensus that it is compared with is formed without that one.
    """

    task: Literal["attribution-metric"]
    higher_is_better: bool
    criterion: Criterion
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)] = ("image", "volume", "point-cloud")
    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = ("cnn", "transformer")
    stochastic: bool = Field(default=False, description="scores of one map differ from seed to seed")
    variant_of: str | None = None


class QueryMethod(DeclaredMethod):
    """A query strategy. On other tasks than it is made for it is not applicable.

    `needs` names what it wants of a pool beyond the probabilities of the trained network: several `members`, the
    encoder's `features`, the `inputs` themselves, and `names`: which image of the data set is which, for queries that were
    made elsewhere. An `oracle` reads the labels that it queries: it is marked on boards.
    """

    task: Literal["query"]
    tasks: Annotated[tuple[QueryTask, ...], Field(min_length=1)] = ("segmentation", "classification")
    needs: tuple[PoolPart, ...] = ()


def _of_its_kind(value: Any) -> Any:
    """Fields of a method as the model of its kind."""
    return kind_of(value.get("task")).method.model_validate(value) if isinstance(value, Mapping) else value


MethodSpec = Annotated[SerializeAsAny[DeclaredMethod], BeforeValidator(_of_its_kind)]
"""A method of any installed kind, read by the task that it names."""
_READER: TypeAdapter[DeclaredMethod] = TypeAdapter(MethodSpec)


def read_method(fields: dict[str, Any]) -> DeclaredMethod:
    """A method of the kind that its task names. Raises pydantic's ValidationError."""
    return _READER.validate_python(fields)
