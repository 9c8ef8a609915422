"""What is trained."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

from pydantic import Field

from prepe.catalog.data import CUSTOM
from prepe.catalog.part import Count, Part


class ModelPart(Part, ABC):
    """What all models say of themselves: the places where they can be watched and edited, with their widths."""

    kind: str

    @abstractmethod
    def sites(self) -> dict[str, int]:
        """Return the places where it can be watched, with their widths."""

    @abstractmethod
    def edit_sites(self) -> dict[str, int]:
        """Return the places where it can be edited, with their widths; snapshots show the first."""


class Autoencoder(ModelPart):
    """A multilayer perceptron in two halves around a bottleneck, which is of unit length unless `normalize` says no.

    A `linear` output is clamped to the data's range wherever it is measured, but not in training.
    """

    kind: Literal["autoencoder"]
    latent_dim: Annotated[int, Field(ge=2, le=1024)]
    hidden_dim: Annotated[int, Field(ge=1, le=4096)] = 16
    depth: Annotated[int, Field(ge=1, le=16)] = 1
    activation: Literal["gelu", "relu"] = "gelu"
    normalize: Literal["unit", "none"] = "unit"
    output: Literal["linear", "sigmoid"] = "linear"

    def sites(self) -> dict[str, int]:
        return {"encoder": self.latent_dim, "bottleneck": self.latent_dim}

    def edit_sites(self) -> dict[str, int]:
        return {"bottleneck": self.latent_dim}


class CustomModel(ModelPart):
    """A user's own model: `kind` names a function, `package.module:function`, that makes it; see `prepe.models`.

    It is called with the numbers of inputs and outputs, and the `parameters`; `widths` says how wide its sites are.
    """

    kind: Annotated[str, Field(pattern=CUSTOM.pattern)]
    widths: Annotated[dict[str, Count], Field(min_length=1)]
    editable: Annotated[tuple[str, ...] | None, Field(strict=False)] = None
    parameters: dict[str, Any] = {}

    def sites(self) -> dict[str, int]:
        return dict(self.widths)

    def edit_sites(self) -> dict[str, int]:
        return {site: self.widths[site] for site in (self.widths if self.editable is None else self.editable)}


MODELS: dict[str, type[ModelPart]] = {"autoencoder": Autoencoder}
