"""The networks of layers/models.h as PyTorch programs write them, for the round trip of weights.

torch_models.py make MODEL WEIGHTS.safetensors IMAGES.npy LOGITS.npy: random weights, running statistics too, and what they give
torch_models.py use  MODEL WEIGHTS.safetensors IMAGES.npy LOGITS.npy: the logits of such a file, loaded strictly
"""
import sys

import numpy
import torch
import torch.nn.functional as F
from torch import nn

import safetensors_file


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3 * 32 * 32, 512)
        self.fc2 = nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class VggSmall(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for out in [64, 64, "M", 128, 128, "M", 256, 256, "M"]:
            if out == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
                channels = out
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(256 * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Subsample(nn.Module):
    """Every second row and column, and zeros for a quarter of the new channels on each side."""

    def __init__(self, out):
        super().__init__()
        self.zeros = out // 4

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.zeros, self.zeros))


class Block(nn.Module):
    """option "A": no parameters in the shortcut, as for CIFAR; "B": a projection, as in torchvision."""

    def __init__(self, channels, out, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = nn.Identity()
        if stride != 1 or channels != out:
            if option == "B":
                self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            else:
                self.downsample = Subsample(out)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


def stage(channels, out, blocks, stride, option):
    return nn.Sequential(*[Block(channels if i == 0 else out, out, stride if i == 0 else 1, option) for i in range(blocks)])


class CifarResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(16, 16, blocks, 1, "A")
        self.layer2 = stage(16, 32, blocks, 2, "A")
        self.layer3 = stage(32, 64, blocks, 2, "A")
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class ResNet18(nn.Module):
    """torchvision's names; the large stem."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(64, 64, 2, 1, "B")
        self.layer2 = stage(64, 128, 2, 2, "B")
        self.layer3 = stage(128, 256, 2, 2, "B")
        self.layer4 = stage(256, 512, 2, 2, "B")
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


MODELS = {
    "mlp": Mlp,
    "lenet5": LeNet5,
    "vgg_small": VggSmall,
    "resnet20": lambda: CifarResNet(3),
    "resnet32": lambda: CifarResNet(5),
    "resnet18": ResNet18,
}


def main():
    action, name, weights, images, logits = sys.argv[1:]
    torch.manual_seed(3)
    torch.set_num_threads(1)
    net = MODELS[name]()
    if action == "make":
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked.fill_(7)
        safetensors_file.save(weights, {key: value.numpy() for key, value in net.state_dict().items()})
    else:
        state = {key: torch.from_numpy(value) for key, value in safetensors_file.load(weights).items()}
        net.load_state_dict(state, strict=True)
    net.eval()
    with torch.no_grad():
        numpy.save(logits, net(torch.from_numpy(numpy.load(images))).numpy())


main()
