"""Small networks as people write them, after the public descriptions of ResNet, VGG, DenseNet, EfficientNet, ConvNeXt, ViT
and Swin, with the habits of the libraries that they are found in; and the same functions written in other ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


class ResNet(nn.Module):
    """Bottlenecks whose one activation is used three times, in place, and whose shortcut is added in place."""

    class Bottleneck(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride > 1 or before != 2 * width:
                self.downsample = nn.Sequential(
                    nn.Conv2d(before, 2 * width, 1, stride, bias=False), nn.BatchNorm2d(2 * width)
                )

        def forward(self, x: Tensor) -> Tensor:
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.relu(self.bn2(self.conv2(out)))
            out = self.bn3(self.conv3(out))
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            return self.relu(out)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(self.Bottleneck(8, 4, 1), self.Bottleneck(8, 4, 1))
        self.layer2 = nn.Sequential(self.Bottleneck(8, 8, 2), self.Bottleneck(16, 8, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class ResNetInModules(ResNet):
    """The same function: nothing in place, an activation for each place, sums as new tensors."""

    def forward(self, x: Tensor) -> Tensor:
        x = nn.MaxPool2d(3, 2, 1)(nn.ReLU()(self.bn1(self.conv1(x))))
        for block in [*self.layer1, *self.layer2]:
            shortcut = x if block.downsample is None else block.downsample(x)
            out = nn.ReLU()(block.bn2(block.conv2(nn.ReLU()(block.bn1(block.conv1(x))))))
            x = nn.ReLU()(torch.add(block.bn3(block.conv3(out)), shortcut))
        return self.fc(nn.Flatten()(nn.AvgPool2d(x.shape[-1])(x)))


class ResNetInFunctions(ResNet):
    """The same function with frozen statistics, functions, operators and a mean."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(frozen(self.bn1, self.conv1(x))), 3, 2, 1)
        for block in [*self.layer1, *self.layer2]:
            shortcut = x
            if block.downsample is not None:
                shortcut = frozen(block.downsample[1], block.downsample[0](x))
            out = torch.relu(frozen(block.bn1, block.conv1(x)))
            out = frozen(block.bn2, block.conv2(out)).clamp_(min=0)
            x = (frozen(block.bn3, block.conv3(out)).add_(shortcut)).clamp(min=0)
        return F.linear(x.mean((2, 3)), self.fc.weight, self.fc.bias)


def frozen(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return x * scale[:, None, None] + (norm.bias - norm.running_mean * scale)[:, None, None]


class VGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)),
            *(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            *(nn.Linear(108, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, CLASSES)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class VGGInFunctions(VGG):
    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.features[0], self.features[3]):
            x = F.max_pool2d(F.threshold(layer(x), 0.0, 0.0), 2)
        x = F.adaptive_avg_pool2d(x, 3).reshape(len(x), -1)
        x = F.dropout(torch.maximum(self.classifier[0](x), torch.zeros(16)), training=self.training)
        return x @ self.classifier[3].weight.T + self.classifier[3].bias


class DenseNet(nn.Module):
    """Layers on all that came before, each normalised first; a last activation in place, as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.layers = nn.ModuleList(
            nn.Sequential(
                *(nn.BatchNorm2d(6 + 4 * index), nn.ReLU(inplace=True)),
                nn.Conv2d(6 + 4 * index, 4, 3, padding=1, bias=False),
            )
            for index in range(3)
        )
        self.transition = nn.Sequential(nn.BatchNorm2d(18), nn.ReLU(inplace=True), nn.Conv2d(18, 8, 1), nn.AvgPool2d(2))
        self.features = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.conv0(x)]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        x = self.features(self.transition(torch.cat(found, 1)))
        x = F.relu(x, inplace=True)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class DenseNetInOneTensor(DenseNet):
    """The same function, its features written into one tensor."""

    def forward(self, x: Tensor) -> Tensor:
        found = x.new_zeros(len(x), 18, *x.shape[2:])
        found[:, :6] = self.conv0(x)
        for index, (norm, _, conv) in enumerate(self.layers):
            until = 6 + 4 * index
            found[:, until : until + 4] = conv(norm(found[:, :until]).relu())
        norm, _, conv, pool = self.transition
        x = self.features(pool(conv(norm(found).relu_()))).relu()
        return self.classifier(x.mean((2, 3)))


class EfficientNet(nn.Module):
    """Inverted bottlenecks with squeeze and excitation."""

    class MBConv(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            wide = 3 * width
            self.expand = nn.Sequential(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU(True))
            depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False)
            self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(wide), nn.SiLU(inplace=True))
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc1, self.activation, self.fc2 = nn.Conv2d(wide, 4, 1), nn.SiLU(), nn.Conv2d(4, wide, 1)
            self.scale_activation = nn.Sigmoid()
            self.project = nn.Sequential(nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width))

        def forward(self, x: Tensor) -> Tensor:
            wide = self.depthwise(self.expand(x))
            gate = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(wide)))))
            result = self.project(gate * wide)
            result += x
            return result

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.SiLU(inplace=True))
        self.blocks = nn.Sequential(self.MBConv(6), self.MBConv(6))
        self.classifier = nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(6, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean([2, 3]))


class EfficientNetInFunctions(EfficientNet):
    def forward(self, x: Tensor) -> Tensor:
        x = swish(self.stem[1](self.stem[0](x)))
        for block in self.blocks:
            wide = F.silu(block.depthwise[1](block.depthwise[0](swish(block.expand[1](block.expand[0](x))))))
            gate = F.silu(F.conv2d(wide.mean((2, 3), keepdim=True), block.fc1.weight, block.fc1.bias), inplace=True)
            x = block.project(wide * torch.sigmoid(block.fc2(gate))) + x
        return self.classifier[1](F.avg_pool2d(x, x.shape[2:]).squeeze(-1).squeeze(-1))


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class ConvNeXt(nn.Module):
    """Depth-wise convolutions, layer normalisation over channels, layer scale."""

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.pwconv1, self.act, self.pwconv2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            self.layer_scale = nn.Parameter(torch.rand(width, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            out = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
            out = self.pwconv2(self.act(self.pwconv1(out))).permute(0, 3, 1, 2)
            return x + self.layer_scale * out

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8, eps=1e-6)
        self.stages = nn.Sequential(self.Block(8), self.Block(8))
        self.head = nn.Sequential(nn.LayerNorm(8, eps=1e-6), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(self.stages(x).mean([-2, -1]))


class ConvNeXtInFunctions(ConvNeXt):
    """The same function, with normalisation and GELU spelled out."""

    def forward(self, x: Tensor) -> Tensor:
        x = channels_normalised(self.norm, self.stem(x))
        for block in self.stages:
            out = channels_normalised(block.norm, block.dwconv(x)).movedim(1, 3)
            hidden = F.linear(out, block.pwconv1.weight, block.pwconv1.bias)
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
            x = block.pwconv2(hidden).movedim(3, 1).mul_(block.layer_scale) + x
        return self.head(x.flatten(2).mean(2))


def channels_normalised(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight[:, None, None] + norm.bias[:, None, None]


class ViT(nn.Module):
    """Torchvision's: `nn.MultiheadAttention` without weights, positions added to all tokens."""

    class Block(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(dim, 2, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(), nn.Linear(2 * dim, dim))

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.ln_1(tokens)
            x, _ = self.self_attention(x, x, x, need_weights=False)
            x = x + tokens
            return x + self.mlp(self.ln_2(x))

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, dim, 4, 4)
        self.class_token = nn.Parameter(0.5 * torch.randn(1, 1, dim))
        self.pos_embedding = nn.Parameter(0.5 * torch.randn(1, 17, dim))
        self.layers = nn.Sequential(self.Block(dim), self.Block(dim))
        self.ln = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, CLASSES)

    def embed(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x).reshape(len(x), -1, 16).permute(0, 2, 1)
        return torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.ln(self.layers(self.embed(x)))[:, 0])


class ViTOfTimm(ViT):
    """The same function as timm writes it: one product for query, key and value, fused attention, scaled layers."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, t, dim = x.shape
        for block in self.layers:
            attn = block.self_attention
            qkv = F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
            query, key, value = qkv.reshape(n, t, 3, 2, dim // 2).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = self.attend(query, key, value).transpose(1, 2).reshape(n, t, dim)
            x = x + attn.out_proj(mixed) * torch.ones(dim)
            x = x + block.mlp(block.ln_2(x))
        return self.head(self.ln(x)[:, 0])


class ViTOfTransformers(ViTOfTimm):
    """The same function with separate projections, a soft-max in the open, and an answer with `.logits`."""

    class Answer(dict):
        @property
        def logits(self) -> Tensor:
            return self["logits"]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = torch.matmul(query, key.transpose(-1, -2)) / query.shape[-1] ** 0.5
        return torch.matmul(F.dropout(F.softmax(scores, dim=-1), 0.1, self.training), value)

    def forward(self, x: Tensor) -> Answer:
        x = self.embed(x)
        n, t, dim = x.shape
        for block in self.layers:
            attn, normed = block.self_attention, block.ln_1(x)
            weights, biases = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
            parts = [
                F.linear(normed, *pair).view(n, t, 2, -1).transpose(1, 2) for pair in zip(weights, biases, strict=True)
            ]
            x = attn.out_proj(self.attend(*parts).permute(0, 2, 1, 3).contiguous().view(n, t, dim)) + x
            x = block.mlp(block.ln_2(x)) + x
        return self.Answer(logits=self.head(self.ln(x[:, 0])), hidden=x)


class Swin(nn.Module):
    """Attention in windows that are shifted, with a bias by relative position; patches merged; mean over tokens."""

    class Block(nn.Module):
        def __init__(self, dim: int, side: int, window: int, shift: int) -> None:
            super().__init__()
            self.window, self.shift = window, shift
            self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
            self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
            self.bias = nn.Parameter(torch.randn(2, window**2, window**2))
            rows = torch.zeros(side)
            rows[-window : -shift or None] = 1
            rows[side - shift :] = 2
            regions = self.windows((3 * rows[:, None] + rows)[None, :, :, None])[:, :, 0]
            self.register_buffer("mask", (regions[:, None] != regions[:, :, None]) * -100.0)

        def windows(self, x: Tensor) -> Tensor:
            n, height, width, dim = x.shape
            x = x.view(n, height // self.window, self.window, width // self.window, self.window, dim)
            return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.window**2, dim)

        def forward(self, x: Tensor) -> Tensor:
            n, height, width, dim = x.shape
            tokens = self.windows(torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2)))
            query, key, value = self.qkv(tokens).reshape(len(tokens), -1, 3, 2, dim // 2).permute(2, 0, 3, 1, 4)
            scores = query * (dim // 2) ** -0.5 @ key.transpose(-2, -1) + self.bias[None]
            if self.shift:
                scores = scores.view(n, -1, *scores.shape[1:]) + self.mask[None, :, None]
                scores = scores.view(-1, *scores.shape[2:])
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(tokens.shape)
            mixed = self.proj(mixed).view(n, height // self.window, width // self.window, self.window, self.window, dim)
            mixed = mixed.permute(0, 1, 3, 2, 4, 5).reshape(x.shape)
            x = x + torch.roll(mixed, (self.shift, self.shift), (1, 2))
            return x + self.mlp(self.norm2(x))

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.patches, self.norm0 = nn.Conv2d(3, dim, 2, 2), nn.LayerNorm(dim)
        self.first = nn.Sequential(self.Block(dim, 8, 4, 0), self.Block(dim, 8, 4, 2))
        self.merge_norm, self.merge = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)
        self.second = self.Block(2 * dim, 4, 4, 0)
        self.norm, self.head = nn.LayerNorm(2 * dim), nn.Linear(2 * dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.norm0(self.patches(x).permute(0, 2, 3, 1)))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        x = self.second(self.merge(self.merge_norm(x)))
        return self.head(torch.flatten(nn.AdaptiveAvgPool2d(1)(self.norm(x).permute(0, 3, 1, 2)), 1))


TWINS = [
    (ResNetInModules, ResNet),
    (ResNetInModules, ResNetInFunctions),
    (VGG, VGGInFunctions),
    (DenseNet, DenseNetInOneTensor),
    (EfficientNet, EfficientNetInFunctions),
    (ConvNeXt, ConvNeXtInFunctions),
    (ViT, ViTOfTimm),
    (ViT, ViTOfTransformers),
]
"""Pairs of networks that compute the same function with the same weights."""

NETWORKS = [ResNet, VGG, DenseNet, EfficientNet, ConvNeXt, ViT, ViTOfTimm, Swin]


def made(network: type[nn.Module]) -> nn.Module:
    """A network in evaluation mode with weights and statistics of its own, in float64, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = network()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
    return net.eval()
