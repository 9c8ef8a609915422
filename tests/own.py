"""A user's own model and terms, as a sweep file names them: `own:small_model`, `own:tilt`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prepe.regularizers import Context

At = Callable[[str, Tensor], Tensor]


class Small(nn.Module):
    """One hidden layer between two sites, `middle` and, after a GELU, `after`."""

    writers = {"middle": ("narrow.weight", "narrow.bias")}  # noqa: RUF012
    readers = {"middle": ("widen.weight",)}  # noqa: RUF012

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor, at: At) -> Tensor:
        middle = at("middle", self.narrow(inputs))
        return self.scale * self.widen(at("after", nn.functional.gelu(middle)))


def small_model(inputs: int, outputs: int, width: int = 3) -> nn.Module:
    return Small(inputs, outputs, width)


def with_buffers(inputs: int, outputs: int) -> nn.Module:
    return nn.BatchNorm1d(inputs)


def without_parameters(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity()


def no_module(inputs: int, outputs: int) -> str:
    return "a text"


def tilt(context: Context, site: str, by: float = 1.0) -> Tensor:
    """by * the first coordinate squared, where the sample is labelled red, if there are labels."""
    first = context.coordinate(context.sites[site], 0)
    return by * first.square() * context.labels.get("red", torch.ones_like(first))


def by_unit(context: Context, site: str) -> Tensor:
    """1 - cosine with the second axis, and the error of what is decoded from there."""
    assert context.decode is not None
    outputs = context.decode(context.sites[site])
    return 1 - context.unit(site)[..., 1] + (outputs - context.targets).square().mean(-1)


def labelled(context: Context, site: str) -> Tensor:
    return context.labels["red"]


def of_wrong_shape(context: Context, site: str, shape: str = "scalar") -> Any:
    x = context.sites[site]
    return {"scalar": x.sum(), "members": x.sum((-2, -1)), "width": x.square(), "number": 1.0, "nothing": None}[shape]


def failing(context: Context, site: str, broken: int = 1) -> Tensor:
    """Nothing, or an error where it is broken."""
    if broken:
        raise ValueError("broken on purpose")
    return torch.zeros_like(context.coordinate(context.sites[site], 0))
