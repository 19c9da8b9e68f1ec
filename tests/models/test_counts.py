"""The numbers of parameters that the papers and their popular ports have."""

import json

import pytest

from cnn.config.errors import UserError
from cnn.cost.count import count
from cnn.models import MODELS, build
from cnn.models.__main__ import main, parameters
from tests.conftest import REPOSITORY
from tests.models.cases import model_config

# At the published image size with 1000 classes for ImageNet, 10 else.
GOLDEN = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet50_v1": 25_557_032,
    "resnet50d": 25_576_264,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    # As torchvision's documentation states them.
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    # torchvision keeps the biases before batch norm, and so is counted by everyone.
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg11": 132_863_336,
    "vgg19": 143_667_240,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "convnext_t": 28_589_128,
    "convnext_s": 50_223_688,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet_bc100_12": 769_162,
    "se_resnet18": 11_778_592,
    "se_resnet50": 28_088_024,
    "preact_resnet18": 11_687_720,
    # Option A, with no bias but in the classifier.
    "resnet20": 269_722,
    "resnet56": 853_018,
    "preact_resnet110": 1_727_962,
    "wrn28_10": 36_479_194,
    "wrn16_4": 2_748_890,
    "all_cnn_a_base": 839_242,
    "all_cnn_c_base": 954_730,
    "all_cnn_c_conv_pool": 1_369_738,
    "all_cnn_c": 1_369_738,
    "lenet5": 61_706,
    # By hand: 3x3 kernels of 32, 64 and 128 features, scales and biases of norms, classifier.
    "plain": 9 * (3 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128) + 129 * 10,
    # By hand from make_net of github.com/KellerJordan/cifar10-airbench, legacy/airbench94.py: a
    # biased 2x2 convolution to twice as many channels as a patch has values; six 3x3; norms, whose
    # frozen scales count; a classifier without bias.
    "airbench": (4 * 3 + 1) * 24
    + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    + 2 * 2 * (64 + 256 + 256)
    + 256 * 10,
    # MLPerf Tiny's port has 23,756 that are trained, with 12 classes instead of 10.
    "ds_cnn_s": 23_756 - 2 * 65,
}
# Dai et al., "Very Deep Convolutional Neural Networks for Raw Waveforms", table 1: a convolution
# over 80 samples of the first width, then (width, convolutions over 3), and the millions it says.
WAVES = {
    "m5": (((128, 1), (256, 1), (512, 1)), 0.5),
    "m11": (((64, 2), (128, 2), (256, 3), (512, 2)), 1.8),
    "m18": (((64, 4), (128, 4), (256, 4), (512, 4)), 3.7),
}
# Zhang et al., "Hello Edge", appendix: width, separable blocks, positions behind the first
# convolution and behind the blocks (of 49 x 10 features), and table 1's kilobytes and millions of
# operations: 8-bit weights and the largest two neighbouring maps; additions count as well.
KEYWORDS = {
    "ds_cnn_s": (64, 4, 25 * 5, 25 * 5, 38.6, 5.4),
    "ds_cnn_m": (172, 4, 25 * 10, 13 * 5, 189.2, 19.8),
    "ds_cnn_l": (276, 5, 25 * 10, 13 * 5, 497.6, 56.9),
}


# Written by benchmarks/golden_counts.py from torchvision's and timm's modules.
COUNTED = json.loads((REPOSITORY / "tests" / "golden" / "counts.json").read_text())["networks"]


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_and_macs_are_those_of_the_popular_ports(name):
    golden = COUNTED[name]
    # torchvision pads AlexNet's stem, whose 224 pixels are the paper's 227 unpadded ones.
    size = 227 if name == "alexnet" else golden["size"]
    network = build(model_config(name, **golden["fields"]), 1000)
    found = count(network, (size, size, 3))
    assert (found.parameters, found.macs) == (golden["parameters"], golden["macs"])


@pytest.mark.parametrize(("name", "count"), GOLDEN.items())
def test_parameters(name, count):
    classes = 1000 if MODELS[name].input_shape[0] == 224 else 10
    assert parameters(name, classes) == count


def test_airbench_has_the_size_that_its_paper_states():
    assert round(GOLDEN["airbench"] / 1e6, 2) == 1.97


def dense(stem, depths, growth, middle, compression):
    """Parameters of a DenseNet for CIFAR-10, as section 3 of Huang et al. describes them."""
    total, features = 9 * 3 * stem, stem
    for stage, depth in enumerate(depths):
        if stage:
            kept = int(features * compression)
            total += 2 * features + features * kept
            features = kept
        for _ in range(depth):
            if middle:
                between = middle * growth
                total += 2 * features + features * between + 2 * between + 9 * between * growth
            else:
                total += 2 * features + 9 * features * growth
            features += growth
    return total + 2 * features + 10 * features + 10


def regnet_y(widths, depths, group):
    """Parameters of a RegNetY of 1000 classes, as section 4 of Radosavovic et al. describes it."""
    total, before = 27 * 32 + 2 * 32, 32
    for width, depth in zip(widths, depths, strict=True):
        total += before * width + 2 * width  # the shortcut of the first block
        for _ in range(depth):
            squeezed = round(before / 4)
            total += before * width + 9 * group * width + width**2 + 3 * 2 * width
            total += 2 * width * squeezed + width + squeezed
            before = width
    return total + 1000 * before + 1000


def test_regnet_y_800mf_has_the_widths_of_the_paper():
    """torchvision rounds 8.5 and 48.5 groups of 16 channels up, the paper to 8 and 48."""
    depths = (1, 3, 8, 2)
    assert parameters("regnet_y_800mf", 1000) == regnet_y((64, 128, 320, 768), depths, 16)
    # By torchvision's documentation.
    assert regnet_y((64, 144, 320, 784), depths, 16) == 6_432_512
    assert regnet_y((48, 104, 208, 440), (1, 3, 6, 6), 8) == 4_344_144


# Table 2 there says 1.0M and 0.8M.
@pytest.mark.parametrize(
    ("name", "made_of", "millions"),
    [
        ("densenet_bc100_12", (24, (16,) * 3, 12, 4, 0.5), 0.8),
    ],
)
def test_dense_networks_of_small_images(name, made_of, millions):
    assert parameters(name, 10) == dense(*made_of)
    assert round(dense(*made_of) / 1e6, 1) == millions


@pytest.mark.parametrize(("name", "stages", "millions"), [(k, *v) for k, v in WAVES.items()])
def test_networks_of_waves_are_those_of_the_paper_s_table(name, stages, millions):
    widths = [width for width, depth in stages for _ in range(depth)]
    before = [widths[0], *widths]
    kernels = 80 * widths[0] + sum(3 * i * o for i, o in zip(before, widths, strict=False))
    norms, classifier = 2 * (widths[0] + sum(widths)), 10 * widths[-1] + 10
    assert parameters(name, 10) == kernels + norms + classifier
    # 0.551 million are "0.5M" there: the others round, this one is cut off.
    assert kernels / 1e6 == pytest.approx(millions, abs=0.052)


@pytest.mark.parametrize(("name", "row"), KEYWORDS.items())
def test_networks_of_keywords_take_the_paper_s_memory_and_operations(name, row):
    width, depth, first, later, kilobytes, millions = row
    depthwise, pointwise = 3 * 3 * width, width * width
    layers = 1 + 2 * depth
    kernels = 10 * 4 * width + depth * (depthwise + pointwise) + 12 * width
    biases = layers * width + 12
    # Norms are folded into kernels and biases there.
    assert parameters(name, 12) == kernels + biases + 2 * layers * width
    maps = width * (first + later)
    assert round((kernels + biases + maps) / 1e3, 1) == kilobytes
    macs = 10 * 4 * width * first + depth * (depthwise + pointwise) * later + 12 * width
    found = count(build(model_config(name), 12), MODELS[name].input_shape)
    assert found.total("macs") == macs
    added = width * (first + 2 * depth * later) + 12
    assert round((2 * macs + added) / 1e6, 1) == millions


def test_the_command_lists_every_network(capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(f"{name}: {entry.about}\n" in printed for name, entry in MODELS.items())


def test_one_network_is_printed_by_its_name(capsys):
    main(["resnet20"])
    printed = capsys.readouterr().out
    assert printed.startswith("resnet20: ")
    assert "plain: " not in printed
    with pytest.raises(UserError, match="unknown network 'resnet21': did you mean"):
        main(["resnet21"])
