"""The autoencoder against a plain one, its parameters and its sites; and a user's own module as a model."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from prepe import catalog, data, interventions, models, spec, train
from prepe.catalog import MODELS, RgbGrid
from prepe.errors import PrepeError
from prepe.models import Autoencoder, CustomModel, packed

TASK = data.task(RgbGrid(kind="rgb_grid", size=3))
SIZES = [(4, 16, 1), (5, 16, 2), (3, 8, 3)]
OWN: list[dict[str, Any]] = [
    {},
    {"activation": "relu"},
    {"normalize": "none"},
    {"output": "sigmoid"},
    {"activation": "relu", "normalize": "none", "output": "sigmoid"},
]


def build(latent: int, hidden: int, depth: int, **own: Any) -> Autoencoder:
    part = catalog.Autoencoder(kind="autoencoder", latent_dim=latent, hidden_dim=hidden, depth=depth, **own)
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
            layers += [linear, {"gelu": nn.GELU(), "relu": nn.ReLU()}[model.part.activation]]
        return nn.Sequential(*layers[:-1])

    decoder = half("decoder")
    return half("encoder"), decoder.append(nn.Sigmoid()) if model.part.output == "sigmoid" else decoder


def normalized(model: Autoencoder, z: Tensor) -> Tensor:
    return nn.functional.normalize(z, dim=-1, eps=1e-12) if model.part.normalize == "unit" else z


def test_every_kind_of_model_in_the_catalog_is_built() -> None:
    for kind, part in MODELS.items():
        assert models.build(part(kind=kind, latent_dim=3), TASK).init([0]).shape[0] == 1


@pytest.mark.parametrize(("latent", "hidden", "depth", "parameters"), [(4, 16, 1, 263), (5, 16, 2, 840)])
def test_the_published_sizes_have_the_worked_numbers_of_parameters(
    latent: int, hidden: int, depth: int, parameters: int
) -> None:
    assert build(latent, hidden, depth).init([0]).shape == (1, parameters)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("own", OWN, ids=str)
@pytest.mark.parametrize("batch", [10, 32])
def test_outputs_and_activations_are_those_of_a_plain_network(
    size: tuple[int, int, int], own: dict[str, Any], batch: int
) -> None:
    model = build(*size, **own)
    flat = model.init([0, 1, 2])
    inputs = torch.rand(3, batch, 3, generator=torch.Generator().manual_seed(0))
    forward = model(model.unpack(flat), inputs)
    for member in range(3):
        encoder, decoder = plain(model, flat[member])
        before = encoder(inputs[member].double())
        latent = normalized(model, before)
        for actual, expected in (
            (forward.sites["encoder"], before),
            (forward.sites["bottleneck"], latent),
            (forward.outputs, decoder(latent)),
        ):
            assert actual[member].shape == expected.shape
            torch.testing.assert_close(actual[member], expected.float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(model.decode(model.unpack(flat), forward.sites["bottleneck"]), forward.outputs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("own", OWN, ids=str)
def test_gradients_are_those_of_a_plain_network(size: tuple[int, int, int], own: dict[str, Any]) -> None:
    model = build(*size, **own)
    flat = model.init([5]).double().requires_grad_()
    inputs = torch.rand(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pull = torch.rand(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (ours,) = torch.autograd.grad((model(model.unpack(flat), inputs[None]).outputs * pull).sum(), flat)
    encoder, decoder = plain(model, flat.detach()[0])
    (decoder(normalized(model, encoder(inputs))) * pull).sum().backward()
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


def test_without_normalisation_both_sites_are_the_same_and_of_any_length() -> None:
    model = build(5, 16, 2, normalize="none")
    sites = model(model.unpack(model.init([0, 1])), torch.rand(2, 50, 3)).sites
    assert torch.equal(sites["encoder"], sites["bottleneck"])
    assert (sites["bottleneck"].norm(dim=-1) - 1).abs().max() > 0.1
    assert model.unit_sites == frozenset()
    assert build(5, 16, 2).unit_sites == {"bottleneck"}


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
    shapes, narrow = dict(model.layout), dict(model.narrowed("bottleneck", 3).layout)
    changed = {name for name in shapes if shapes[name] != narrow[name]}
    assert changed == {*model.writers("bottleneck"), *model.readers("bottleneck")}
    assert model.part.latent_dim == 5


def test_parameters_laid_end_to_end_are_those_that_they_were_unpacked_to() -> None:
    for model in (build(3, 8, 2), small()):
        flat = model.init([0, 1, 2])
        assert torch.equal(packed(model.unpack(flat), model.layout), flat)
        assert torch.equal(packed(model.unpack(flat[1]), model.layout), flat[1])


# --- a user's own module ---------------------------------------------------------------------------------------------

WIDTHS = {"middle": 3, "after": 3}


def small(kind: str = "small_model", widths: dict[str, int] = WIDTHS, **parameters: Any) -> CustomModel:
    return models.build(catalog.CustomModel(kind=f"own:{kind}", widths=widths, parameters=parameters), TASK)


def module_of(model: CustomModel, flat: Tensor) -> nn.Module:
    """Return one member's module, as its user would run it."""
    module = model._made(0)
    module.load_state_dict(dict(model.unpack(flat)))
    return module


def test_members_of_a_users_model_are_the_loop_over_its_modules_and_over_members_exactly() -> None:
    model = small()
    flat = model.init([0, 1, 2])
    inputs = torch.rand(3, 7, 3, generator=torch.Generator().manual_seed(0))
    forward = model(model.unpack(flat), inputs)
    for member in range(3):
        seen: dict[str, Tensor] = {}
        outputs = module_of(model, flat[member])(inputs[member], lambda site, x: seen.setdefault(site, x))  # noqa: B023
        torch.testing.assert_close(forward.outputs[member], outputs)
        assert set(forward.sites) == set(seen) == set(WIDTHS)
        for site in WIDTHS:
            torch.testing.assert_close(forward.sites[site][member], seen[site])
        alone = model(model.unpack(flat[member : member + 1]), inputs[member : member + 1])
        assert torch.equal(alone.outputs[0], forward.outputs[member])
        assert torch.equal(alone.sites["after"][0], forward.sites["after"][member])


def test_an_edit_of_a_users_model_is_seen_by_later_layers_and_by_nothing_before() -> None:
    model = small()
    params = model.unpack(model.init([0, 1]))
    inputs = torch.rand(2, 6, 3)
    before, after = model(params, inputs), model(params, inputs, {"after": lambda z: 2 * z})
    assert torch.equal(after.sites["middle"], before.sites["middle"])
    assert torch.equal(after.sites["after"], 2 * before.sites["after"])
    moved = after.outputs - before.outputs  # what reads the site is linear, with a bias
    expected = params["scale"][:, None, None] * before.sites["after"] @ params["widen.weight"].mT
    torch.testing.assert_close(moved, expected)
    assert not torch.equal(after.outputs, before.outputs)


def test_initial_parameters_of_a_users_model_depend_on_the_seed_alone() -> None:
    model = small()
    many = model.init(list(range(5)))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert torch.equal(model.init([4, 2]), many[[4, 2]])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(small().init([1]), many[[1]])
    assert len(many[:, 1:].flatten().unique()) == many[:, 1:].numel()
    assert (many[:, 0] == 1).all()  # the scale, which is no random number


@pytest.mark.parametrize("widths", [{"middle": 3}, {"middle": 3, "after": 4}, {"middle": 3, "after": 3, "more": 1}])
def test_widths_that_are_not_those_of_the_users_model_are_refused(widths: dict[str, int]) -> None:
    model = small(widths=widths)
    with pytest.raises(PrepeError, match=r"model.widths: .*'own:small_model' has \{'middle': 3, 'after': 3\}"):
        model(model.unpack(model.init([0])), torch.rand(1, 4, 3))


def test_parameters_of_a_users_model_are_given_to_its_function() -> None:
    wider = small(widths={"middle": 5, "after": 5}, width=5)
    assert wider.init([0]).shape[1] == 1 + 3 * 5 + 5 + 5 * 3 + 3
    assert wider(wider.unpack(wider.init([0])), torch.rand(1, 4, 3)).sites["middle"].shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("with_buffers", "'own:with_buffers' makes a module with buffers; allowed: parameters alone"),
        ("without_parameters", "'own:without_parameters' makes a module without parameters; allowed: parameters alone"),
        ("no_module", "'own:no_module' returned 'a text'; allowed: a torch.nn.Module"),
        ("no_such", "no function 'no_such'"),
    ],
)
def test_what_makes_no_model_is_named(kind: str, said: str) -> None:
    with pytest.raises(PrepeError, match=said):
        small(kind)


def test_an_axis_of_a_users_model_is_ablated_through_the_weights_that_it_declares() -> None:
    model = small()
    params = model.unpack(model.init([0, 1]))
    inputs = torch.rand(2, 6, 3)
    ablated = interventions.ablate(model, params, "middle", [1])
    before, after = model(params, inputs), model(ablated, inputs)
    assert (after.sites["middle"][..., 1] == 0).all()
    assert torch.equal(after.sites["middle"][..., [0, 2]], before.sites["middle"][..., [0, 2]])
    without = model(params, inputs, {"after": lambda z: z * torch.tensor([1.0, 0.0, 1.0])})
    torch.testing.assert_close(after.outputs, without.outputs)
    changed = {name for name in params if not torch.equal(params[name], ablated[name])}
    assert changed == {"narrow.weight", "narrow.bias", "widen.weight"}


def test_a_site_without_declared_weights_cannot_be_deleted_from_nor_a_users_model_be_narrowed() -> None:
    model = small()
    params = model.unpack(model.init([0]))
    with pytest.raises(PrepeError, match=r"has no writers\['after'\], so nothing can be deleted there; allowed"):
        interventions.ablate(model, params, "after", [1])
    with pytest.raises(PrepeError, match="prune: 'own:small_model' cannot be made narrower; allowed: ablate"):
        interventions.prune(model, params, "middle", [1])
    with pytest.raises(PrepeError, match="'own:small_model' has no decoder of its own"):
        model.decode(params, torch.rand(1, 4, 3))


def own_tables(**own: Any) -> dict[str, Any]:
    """Return a trial of a user's model, with a user's term."""
    return {
        "model": {"kind": "own:small_model", "widths": WIDTHS, **own},
        "terms": {"tilt": {"kind": "own:tilt", "site": "middle"}, "norm": {"kind": "unit_norm", "site": "after"}},
        "schedule": {"batch_size": 10, "steps": 30, "keyframes": [{"step": 0, "lr": 0.02, "tilt": 0.1, "norm": 0.1}]},
        "concepts": {"red": {"item": "red", "direction": {"axis": 0}, "site": "middle"}},
        "interventions": [
            {"label": name, "operator": name, "concept": "red", "site": "middle", "power": 2}
            for name in ("suppress", "ablate")
        ],
    }


def test_a_users_model_and_term_train_to_the_same_bits_alone_and_in_company() -> None:
    training = tiny.training(**own_tables())
    assert training.imports() == ["own:small_model", "own:tilt"]
    together = train.train(training, [3, 4, 5], device="cpu")
    alone = train.train(training, [4], device="cpu")
    assert torch.equal(alone.params[0], together.params[1])
    start = models.build(training.model, data.task(training.data)).init([4])
    without = {**own_tables(), **tiny.constant(lr=0.02, steps=30, batch_size=10)}
    assert not torch.equal(alone.params, start)
    assert not torch.equal(train.train(tiny.training(**without), [4], device="cpu").params, alone.params)
    first, last = (each for step, _, name, each in alone.history if name == "recon" and step in (0, 29))
    assert last < 0.7 * first


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"editable": []}, "model.editable: empty; allowed: at least one site"),
        ({"editable": ["middel"]}, r"model.editable: unknown site 'middel' \(did you mean 'middle'\?\)"),
        ({"editable": ["after"]}, r"interventions\[0\].site: the model cannot be edited at 'middle'; allowed: after"),
        ({"widths": {"middle": 0}}, "model.widths.middle"),
        ({"widths": {}}, "model.widths"),
    ],
)
def test_a_users_model_that_does_not_fit_is_refused_before_it_is_made(own: dict[str, Any], said: str) -> None:
    with pytest.raises(PrepeError, match=said):
        spec.trial(tiny.table(**own_tables(**own)))
