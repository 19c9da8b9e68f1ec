"""The numbers of parameters that the papers and their popular ports have."""

import pytest

from cnn.models import MODELS
from cnn.models.__main__ import main, parameters

# At the published image size with 1000 classes for ImageNet, 10 else.
GOLDEN = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet50_v1": 25_557_032,
    "resnet50d": 25_576_264,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    # torchvision keeps the biases before batch norm, and so is counted by everyone.
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg11": 132_863_336,
    "vgg19": 143_667_240,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "convnext_t": 28_589_128,
    "convnext_s": 50_223_688,
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
    "plain": 94_762,
    "airbench": 1_972_792,
    # Kernels, norms and the classifier; 0.5 million, 1.8 and 3.7 in the paper's table.
    "m5": 558_090,
    "m11": 1_784_202,
    "m18": 3_679_882,
    # MLPerf Tiny's port has 23,756 that are trained, with 12 classes instead of 10.
    "ds_cnn_s": 23_756 - 2 * 65,
}


@pytest.mark.parametrize(("name", "count"), GOLDEN.items())
def test_parameters(name, count):
    classes = 1000 if MODELS[name].input_shape[0] == 224 else 10
    assert parameters(name, classes) == count


def test_the_command_lists_every_network(capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(f"{name}: {entry.about}\n" in printed for name, entry in MODELS.items())
