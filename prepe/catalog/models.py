"""What is trained."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from prepe.catalog.part import Part


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
    """A multilayer perceptron in two halves around a bottleneck of unit length."""

    kind: Literal["autoencoder"]
    latent_dim: Annotated[int, Field(ge=2, le=1024)]
    hidden_dim: Annotated[int, Field(ge=1, le=4096)] = 16
    depth: Annotated[int, Field(ge=1, le=16)] = 1

    def sites(self) -> dict[str, int]:
        return {"encoder": self.latent_dim, "bottleneck": self.latent_dim}

    def edit_sites(self) -> dict[str, int]:
        return {"bottleneck": self.latent_dim}


MODELS: dict[str, type[ModelPart]] = {"autoencoder": Autoencoder}
