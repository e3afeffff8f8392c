"""Methods that look inside give the same maps for the same function, however people write it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.methods.baselines.attribution._relprop import convolutional_relevance
from harness.methods.context import Anatomy
from harness.methods.outputs import NotOfferedError

from .nets import surroundings
from .support import explain
from .written import NETWORKS, TWINS, VGG, ConvNeXt, DenseNet, ResNet, Swin, ViT, made

INSIDE = ["lrp", "lrp-latec", "deep-lift", "deep-lift-shap", "guided-backprop"]
GRID = Anatomy(grid=(4, 4))


def task(network, count=2):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((count, 3, 16, 16), generator=generator)
    background = torch.randn((4, 3, 16, 16), generator=generator)
    architecture = "transformer" if issubclass(network, ViT | Swin) else "cnn"
    model = made(network)
    if network.__name__ == "ViTOfTransformers":
        model.register_forward_hook(lambda module, given, answer: answer.logits)
    return model, inputs, torch.arange(count) + 1, architecture, background


def maps_of(name, network, weights=None):
    model, inputs, targets, architecture, background = task(network)
    if weights is not None:
        model.load_state_dict(weights)
    context = surroundings(model, "image", architecture, GRID, background=background)
    return model(inputs).detach(), explain(name, model, inputs, targets, context)


@pytest.mark.parametrize(("first", "second"), TWINS)
def test_twins_have_the_same_maps(first, second):
    weights = made(first).state_dict()
    attention = ["raw-attention", "attention-rollout", "attention-rollout-latec", "attention-lrp"]
    for name in [*INSIDE, *(attention if issubclass(first, ViT) else [])]:
        (logits, maps), (same_logits, same_maps) = maps_of(name, first), maps_of(name, second, weights)
        torch.testing.assert_close(logits, same_logits, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(maps, same_maps, rtol=0, atol=1e-5 * float(maps.abs().max()), msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_contributions_of_deep_lift_are_complete(network):
    model, inputs, targets, architecture, background = task(network)
    context = surroundings(model, "image", architecture, background=background)
    at = model(inputs).detach().gather(1, targets[:, None])[:, 0]
    of_zero = model(torch.zeros_like(inputs)).detach().gather(1, targets[:, None])[:, 0]
    of_background = model(background).detach()[:, targets].mean(dim=0)
    for name, base in (("deep-lift", of_zero), ("deep-lift-shap", of_background)):
        total = explain(name, model, inputs, targets, context).flatten(1).sum(dim=1)
        torch.testing.assert_close(total, at - base, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", [ResNet, VGG, DenseNet, ConvNeXt])
def test_relevance_is_conserved_where_nothing_is_added(network):
    """Without biases, what normalisation adds, and an epsilon."""
    model, inputs, targets, _, _ = task(network)
    for name, values in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith(("bias", "running_mean")):
            values.data.zero_()
    relevance = convolutional_relevance(model.double(), inputs.double(), targets, epsilon=1e-12, gamma=0.25)
    logits = model(inputs.double()).detach().gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(relevance.flatten(1).sum(dim=1), logits, rtol=1e-4, atol=1e-8)


class Rectified(nn.Module):
    """Two linear layers and what is between them."""

    def __init__(self, between):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first, self.last = nn.Linear(6, 9), nn.Linear(9, 3)
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


RELU = [
    torch.relu,
    nn.ReLU(inplace=True),
    lambda x: nn.ReLU()(x),
    lambda x: x.relu_(),
    lambda x: x.clamp_min(0),
    lambda x: torch.maximum(x, torch.zeros_like(x)),
    lambda x: torch.where(x > 0, x, 0.0),
    lambda x: x * (x > 0),
    lambda x: x.masked_fill(x < 0, 0.0),
]
GELU = [
    nn.GELU(),
    F.gelu,
    lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    lambda x: 0.5 * x * (1.0 + (x * 2**-0.5).erf_()),
]
NEW_GELU = [
    nn.GELU("tanh"),
    lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3)))),
]
SILU = [
    nn.SiLU(),
    nn.SiLU(inplace=True),
    lambda x: x * x.sigmoid(),
    lambda x: x.sigmoid().mul_(x),
    lambda x: x / (1 + (-x).exp()),
]
LEAKY = [nn.LeakyReLU(0.2), lambda x: torch.where(x > 0, x, 0.2 * x), lambda x: torch.maximum(x, 0.2 * x)]


@pytest.mark.parametrize("ways", [RELU, GELU, NEW_GELU, SILU, LEAKY])
@pytest.mark.parametrize("name", ["lrp", "deep-lift", "guided-backprop"])
def test_an_activation_is_the_same_however_it_is_written(name, ways):
    inputs, targets = torch.randn((4, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    maps = []
    for way in ways:
        model = Rectified(way).eval()
        maps.append(explain(name, model, inputs, targets, surroundings(model, "image", "cnn")))
    for other in maps[1:]:
        torch.testing.assert_close(maps[0], other, rtol=0, atol=1e-5 * float(maps[0].abs().max()))


def test_guided_backpropagation_clamps_what_is_a_relu_and_nothing_else():
    inputs, targets = torch.randn((4, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    for between in (nn.GELU(), nn.ReLU6(), lambda x: x * 1.0):
        model = Rectified(between).eval()
        entry = inputs.clone().requires_grad_()
        model(entry).gather(1, targets[:, None]).sum().backward()
        torch.testing.assert_close(explain("guided-backprop", model, inputs, targets), entry.grad)
    model = Rectified(torch.relu).eval()
    assert not torch.allclose(
        explain("guided-backprop", model, inputs, targets), explain("saliency", model, inputs, targets)
    )


def test_a_bias_beside_its_product_counts_as_one_inside():
    inputs, targets = torch.randn((4, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    model = Rectified(torch.relu).eval()
    apart = copy.deepcopy(model)
    apart.__class__ = type(
        "Apart",
        (Rectified,),
        {
            "forward": lambda net, x: (
                net.last.bias + (x @ net.first.weight.T + net.first.bias).relu() @ net.last.weight.T
            )
        },
    )
    maps = [explain("lrp", each, inputs, targets, surroundings(each, "image", "cnn")) for each in (model, apart)]
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam-plus-plus", "score-cam"])
@pytest.mark.parametrize(
    ("network", "layer"), [(DenseNet, "features"), (VGG, "features.3"), (ResNet, "layer2.0.bn3"), (ResNet, "layer1")]
)
def test_class_activation_maps_survive_work_in_place_behind_their_layer(name, network, layer):
    """Which is compared with a copy that works on new tensors."""
    model, inputs, targets, _, background = task(network)
    copied = copy.deepcopy(model)
    copied.get_submodule(layer).register_forward_hook(lambda module, given, out: out.clone())
    maps = []
    for each in (model, copied):
        context = surroundings(each, "image", "cnn", Anatomy(cam_layer=layer), background=background)
        maps.append(explain(name, each, inputs, targets, context))
    assert maps[0].amax() > 0
    torch.testing.assert_close(*maps)


def test_a_layer_for_class_activation_maps_may_answer_with_several_tensors():
    class Pair(nn.Module):
        def forward(self, x):
            return x, None

    class Net(ResNet):
        def forward(self, x):
            x, _ = self.pair(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
            return self.fc(self.avgpool(self.layer2(x)).flatten(1))

    model, inputs, targets, _, _ = task(ResNet)
    expected = explain(
        "grad-cam", model, inputs, targets, surroundings(model, "image", "cnn", Anatomy(cam_layer="layer1"))
    )
    model.pair, model.__class__ = Pair(), Net
    found = explain("grad-cam", model, inputs, targets, surroundings(model, "image", "cnn", Anatomy(cam_layer="pair")))
    torch.testing.assert_close(found, expected)


def test_inputs_may_be_worked_on_in_place():
    model, inputs, targets, _, _ = task(VGG)
    scaling = copy.deepcopy(model)
    scaling.__class__ = type("Scaling", (VGG,), {"forward": lambda net, x: VGG.forward(net, x.sub_(0.5).mul_(2))})
    plain = copy.deepcopy(model)
    plain.__class__ = type("Plain", (VGG,), {"forward": lambda net, x: VGG.forward(net, (x - 0.5) * 2)})
    for name in ("deep-lift", "lrp", "guided-backprop"):
        contexts = [surroundings(each, "image", "cnn") for each in (scaling, plain)]
        maps = [
            explain(name, each, inputs.clone(), targets, context)
            for each, context in zip((scaling, plain), contexts, strict=True)
        ]
        torch.testing.assert_close(*maps)


class Between(nn.Module):
    """A convolution, a part that is looked at, and a linear layer."""

    def __init__(self, part):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.part, self.last = nn.Conv2d(3, 8, 3, padding=1), part, nn.LazyLinear(5)

    def forward(self, x):
        return self.last(self.part(self.first(x)).flatten(1))


class OnTokens(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x.flatten(2).transpose(1, 2))


GRID_OF_POINTS = torch.linspace(-0.9, 0.9, 18).view(1, 3, 3, 2)
PARTS = {
    "transposed convolution": nn.ConvTranspose2d(8, 4, 3, 2),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "pixel shuffle": nn.PixelShuffle(2),
    "reflection": nn.ReflectionPad2d(1),
    "unfold": nn.Unfold(3),
    "grid": lambda x: F.grid_sample(x, GRID_OF_POINTS.expand(len(x), -1, -1, -1).to(x), align_corners=False),
    "group norm": nn.GroupNorm(2, 8),
    "instance norm": nn.InstanceNorm2d(8, affine=True),
    "layer norm": nn.LayerNorm([8, 6, 6]),
    "local response norm": nn.LocalResponseNorm(3),
    "rms norm": OnTokens(nn.RMSNorm(8)),
    "unit length": lambda x: F.normalize(x, dim=1),
    "power average": nn.LPPool2d(2, 2),
    "mean and deviation": lambda x: torch.cat([x.mean((2, 3)), x.std((2, 3))], 1),
    "maximum": lambda x: x.amax((2, 3)),
    "three largest": lambda x: x.flatten(2).topk(3)[0],
    "max pooling": nn.MaxPool2d(3, 2, 1),
    "soft-max": nn.Softmax(1),
    "gates": nn.GLU(1),
    "products": lambda x: torch.einsum("nchw,ndhw->ncd", x, x),
    "quotient": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "encoder": OnTokens(nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)),
    "float32 alone": lambda x: x.flatten(1) @ torch.eye(288),
    **{
        each.__name__: each() for each in (nn.PReLU, nn.Softplus, nn.Hardswish, nn.ELU, nn.SELU, nn.Mish, nn.LogSigmoid)
    },
}


@pytest.mark.parametrize("part", PARTS)
def test_what_networks_are_made_of(part):
    """DeepLIFT is complete, LRP answers, and without a ReLU guided backpropagation is the gradient."""
    with torch.random.fork_rng():
        model = Between(PARTS[part]).eval()
        inputs, targets = torch.randn(2, 3, 6, 6), torch.tensor([1, 2])
        model(inputs)
    expected = (model(inputs) - model(0 * inputs)).detach().gather(1, targets[:, None])[:, 0]
    total = explain("deep-lift", model, inputs, targets).flatten(1).sum(dim=1)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)
    entry = inputs.clone().requires_grad_()
    model(entry).gather(1, targets[:, None]).sum().backward()
    guided = explain("guided-backprop", model, inputs, targets)
    torch.testing.assert_close(guided, entry.grad, rtol=1e-4, atol=1e-5 * float(entry.grad.abs().max()))
    assert explain("lrp", model, inputs, targets, surroundings(model, "image", "cnn")).isfinite().all()


@pytest.mark.parametrize("part", [nn.LSTM(8, 5, batch_first=True), nn.GRU(8, 5, batch_first=True)])
def test_recurrent_layers_are_not_applicable(part):
    class First(OnTokens):
        def forward(self, x):
            return super().forward(x)[0]

    with torch.random.fork_rng():
        model = Between(First(part)).eval()
        model(torch.ones(2, 3, 6, 6))
    for name in ("lrp", "deep-lift"):
        with pytest.raises(NotOfferedError, match="which this model computes"):
            explain(name, model, torch.ones(2, 3, 6, 6), torch.tensor([1, 2]), surroundings(model, "image", "cnn"))


def test_what_nothing_can_look_into_is_not_applicable():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, of_output):
            return of_output * 2

    model = Rectified(Own.apply).eval()
    for name in ("lrp", "deep-lift", "guided-backprop"):
        with pytest.raises(NotOfferedError, match=r"autograd\.Function"):
            explain(
                name, model, torch.ones(2, 6), torch.zeros(2, dtype=torch.long), surroundings(model, "image", "cnn")
            )


def test_a_network_that_does_not_look_at_its_input_is_not_applicable():
    model = Rectified(lambda x: torch.zeros(len(x), 9)).eval()
    with pytest.raises(NotOfferedError, match="do not depend on its input"):
        explain("lrp", model, torch.ones(2, 6), torch.zeros(2, dtype=torch.long), surroundings(model, "image", "cnn"))


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: torch.where(x > x.mean(), x, 0.1 * x),
        lambda x: x + (x.round() - x).detach() + x.detach(),
        lambda x: x * (2.0 if float(x.detach().sum()) > 0 else 0.5) * x.detach().sign(),
        lambda x: F.normalize(x - x, dim=1, eps=0.0),
    ],
)
def test_contributions_of_deep_lift_that_do_not_add_up_are_not_applicable(choose):
    """Because what was chosen at the input would be chosen otherwise at the baseline, or is cut off by `detach`."""
    model = Rectified(choose).eval()
    inputs, targets = torch.randn((3, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2])
    with pytest.raises(NotOfferedError, match=r"do not add up|another way"):
        explain("deep-lift", model, inputs, targets)


def test_another_way_for_the_baseline_is_not_applicable():
    model = Rectified(lambda x: x.relu() if x.abs().sum() > 20 else x.sigmoid().relu()).eval()
    inputs = 3 * torch.ones(1, 6)
    assert model.first(inputs).abs().sum() > 20 > model.first(0 * inputs).abs().sum()
    with pytest.raises(NotOfferedError, match="another way for the baseline"):
        explain("deep-lift", model, inputs, torch.zeros(1, dtype=torch.long))
