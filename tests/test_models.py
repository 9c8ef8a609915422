"""The autoencoder against a plain one, its parameters and its sites."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prepe import catalog, data, models
from prepe.catalog import MODELS, RgbGrid
from prepe.models import Autoencoder

TASK = data.task(RgbGrid(kind="rgb_grid", size=3))
SIZES = [(4, 16, 1), (5, 16, 2), (3, 8, 3)]


def build(latent: int, hidden: int, depth: int) -> Autoencoder:
    part = catalog.Autoencoder(kind="autoencoder", latent_dim=latent, hidden_dim=hidden, depth=depth)
    return models.build(part, TASK)


def plain(model: Autoencoder, flat: Tensor) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the two halves of one member as a textbook would write them, in float64."""
    params = model.unpack(flat.double())

    def half(name: str) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i in range(model.part.depth + 1):
            weight = params[f"{name}.{i}.weight"]
            linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
            linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(params[f"{name}.{i}.bias"])
            layers += [linear, nn.GELU()]
        return nn.Sequential(*layers[:-1])

    return half("encoder"), half("decoder")


def test_every_kind_of_model_in_the_catalog_is_built() -> None:
    for kind, part in MODELS.items():
        assert models.build(part(kind=kind, latent_dim=3), TASK).init([0]).shape[0] == 1


@pytest.mark.parametrize(("latent", "hidden", "depth", "parameters"), [(4, 16, 1, 263), (5, 16, 2, 840)])
def test_the_published_sizes_have_the_worked_numbers_of_parameters(
    latent: int, hidden: int, depth: int, parameters: int
) -> None:
    assert build(latent, hidden, depth).init([0]).shape == (1, parameters)


@pytest.mark.parametrize("size", SIZES)
def test_outputs_and_activations_are_those_of_a_plain_network(size: tuple[int, int, int]) -> None:
    model = build(*size)
    flat = model.init([0, 1, 2])
    inputs = torch.rand(3, 10, 3, generator=torch.Generator().manual_seed(0))
    forward = model(model.unpack(flat), inputs)
    for member in range(3):
        encoder, decoder = plain(model, flat[member])
        before = encoder(inputs[member].double())
        latent = before / before.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        for actual, expected in (
            (forward.sites["encoder"], before),
            (forward.sites["bottleneck"], latent),
            (forward.outputs, decoder(latent)),
        ):
            torch.testing.assert_close(actual[member], expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_a_plain_network(size: tuple[int, int, int]) -> None:
    model = build(*size)
    flat = model.init([5]).double().requires_grad_()
    inputs = torch.rand(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pull = torch.rand(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (ours,) = torch.autograd.grad((model(model.unpack(flat), inputs[None]).outputs * pull).sum(), flat)
    encoder, decoder = plain(model, flat.detach()[0])
    (decoder(nn.functional.normalize(encoder(inputs), eps=1e-12)) * pull).sum().backward()
    gradients = [each.grad.ravel() for half in (encoder, decoder) for each in half.parameters()]
    torch.testing.assert_close(ours[0], torch.cat(gradients), rtol=1e-9, atol=1e-12)


def test_initial_parameters_are_uniform_within_one_over_the_root_of_their_inputs() -> None:
    model = build(4, 16, 1)
    params = model.unpack(model.init(list(range(300))))
    assert set(params) == {f"{half}.{i}.{kind}" for half in ("encoder", "decoder") for i in (0, 1)
                           for kind in ("weight", "bias")}  # fmt: skip
    for name, values in params.items():
        fan_in = params[name.replace("bias", "weight")].shape[-1]
        share = (values * fan_in**0.5).ravel().numpy()
        assert np.abs(share).max() <= 1 + 1e-6
        quantiles = (np.sort(share) + 1) / 2
        steps = (np.arange(len(share)) + 0.5) / len(share)
        assert np.abs(quantiles - steps).max() < 1.95 / np.sqrt(len(share))  # Kolmogorov: one in a thousand


def test_initial_parameters_depend_on_the_seed_alone() -> None:
    model = build(4, 16, 1)
    many = model.init(list(range(10)))
    assert torch.equal(model.init([7])[0], many[7])
    assert torch.equal(model.init([9, 7])[1], many[7])
    assert not torch.equal(many[6], many[7])
    assert abs(np.corrcoef(many.numpy())[np.triu_indices(10, 1)]).max() < 0.25  # four standard errors of 263 numbers


def test_no_two_layers_share_their_initial_numbers() -> None:
    values = build(4, 16, 2).init([0])[0]
    assert len(values.unique()) == len(values)


def test_the_layout_says_where_each_parameter_lies() -> None:
    model = build(3, 8, 2)
    flat = model.init([0, 1])
    params = model.unpack(flat)
    start = 0
    for name, shape in model.layout:
        size = int(np.prod(shape))
        assert params[name].shape == (2, *shape)
        assert torch.equal(params[name].reshape(2, size), flat[:, start : start + size])
        start += size
    assert start == flat.shape[1]


def test_unpacked_parameters_are_views() -> None:
    model = build(3, 8, 1)
    flat = model.init([0, 1])
    model.unpack(flat)["encoder.0.weight"][1, 2, 0] = 5.0
    assert (flat == 5.0).sum() == 1


def test_the_bottleneck_has_unit_length() -> None:
    model = build(5, 16, 2)
    latents = model(model.unpack(model.init([0, 1])), torch.rand(2, 50, 3)).sites["bottleneck"]
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(2, 50))


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e9])
def test_the_bottleneck_has_unit_length_however_long_the_activation_is(scale: float) -> None:
    model = build(5, 16, 2)
    params = model.unpack(model.init([0]))
    weight, bias = model.writers("bottleneck")
    scaled = {**params, weight: scale * params[weight], bias: scale * params[bias]}
    rgb = torch.rand(1, 50, 3)
    torch.testing.assert_close(model(scaled, rgb).outputs, model(params, rgb).outputs, rtol=1e-4, atol=1e-5)


def test_a_zero_activation_stays_zero_and_has_a_finite_gradient() -> None:
    model = build(3, 8, 1)
    flat = torch.zeros_like(model.init([0])).requires_grad_()
    forward = model(model.unpack(flat), torch.rand(1, 4, 3))
    assert (forward.sites["bottleneck"] == 0).all()
    (gradient,) = torch.autograd.grad(forward.outputs.sum() + forward.sites["bottleneck"].sum(), flat)
    assert torch.isfinite(gradient).all()


def test_an_edit_is_seen_by_later_layers_and_by_nothing_before() -> None:
    model = build(4, 8, 1)
    params = model.unpack(model.init([0, 1]))
    inputs = torch.rand(2, 6, 3)
    before = model(params, inputs)
    after = model(params, inputs, {"bottleneck": lambda z: z.flip(-1)})
    assert torch.equal(after.sites["encoder"], before.sites["encoder"])
    assert torch.equal(after.sites["bottleneck"], before.sites["bottleneck"].flip(-1))
    assert torch.equal(after.outputs, model.decode(params, before.sites["bottleneck"].flip(-1)))
    assert not torch.equal(after.outputs, before.outputs)


def test_decoding_the_bottleneck_gives_the_outputs() -> None:
    model = build(4, 8, 2)
    params = model.unpack(model.init([0, 1]))
    forward = model(params, torch.rand(2, 6, 3))
    assert torch.equal(model.decode(params, forward.sites["bottleneck"]), forward.outputs)


@pytest.mark.parametrize("depth", [1, 2])
def test_the_model_says_what_writes_and_reads_its_bottleneck(depth: int) -> None:
    model = build(4, 8, depth)
    flat = model.init([0])
    inputs = torch.rand(1, 6, 3)
    latent = model(model.unpack(flat), inputs).sites["encoder"]
    weight, bias = model.writers("bottleneck")
    params = {name: each.clone() for name, each in model.unpack(flat).items()}
    params[weight][:, 1], params[bias][:, 1] = 0, 0
    written = model(params, inputs).sites["encoder"]
    assert (written[..., 1] == 0).all()
    assert torch.equal(written[..., [0, 2, 3]], latent[..., [0, 2, 3]])
    for name in model.readers("bottleneck"):
        params[name] = model.unpack(flat)[name].clone()
        params[name][..., 1] = 0
    z = torch.randn(1, 6, 4)
    elsewhere = z.clone()
    elsewhere[..., 1] = 9.0
    assert torch.equal(model.decode(params, z), model.decode(params, elsewhere))


def test_a_narrowed_model_differs_only_at_the_bottleneck() -> None:
    model = build(5, 8, 2)
    shapes, narrow = dict(model.layout), dict(model.narrowed(3).layout)
    changed = {name for name in shapes if shapes[name] != narrow[name]}
    assert changed == {*model.writers("bottleneck"), *model.readers("bottleneck")}
    assert model.part.latent_dim == 5
