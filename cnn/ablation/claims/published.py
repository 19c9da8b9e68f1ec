"""The claims that come with the code.

Published effect sizes are given only where they were checked, in the paper or in its authors'
repository; other claims are about the direction.
"""

from cnn.ablation.claims.claim import ONE_SEED, Claim, Statement, operator, operators, register

MAX = operator("max")
STRIDED = operator("strided_conv")
SHIFTS = ("shift(images=500, exhaustive=2)",)

register(
    "springenberg2015",
    Claim(
        source="Springenberg et al., Striving for Simplicity, ICLR workshop 2015, arXiv:1412.6806",
        says="Max pooling can be replaced by a strided convolution without loss of accuracy.",
        scale="All-CNN and its relatives on CIFAR-10, 350 epochs, beside a control of the same "
        "size with max pooling (here the operator conv_pool), which this claim leaves out",
        statements=(Statement(operator("all_conv(window=3)"), MAX, "not worse"),),
        arms=operators(max="max(window=3)", all_conv="all_conv(window=3)"),
    ),
)
register(
    "zhang2019",
    Claim(
        source="Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019, "
        "arXiv:1904.11486",
        says="Max pooling at stride 1 with blurred subsampling makes predictions more consistent "
        "under shifts, at no cost in accuracy.",
        scale="ResNet-50 on ImageNet from scratch, one run each, crops; triangle-4 filter, from "
        "the authors' repository (the paper has filters of 2, 3 and 5 taps)",
        statements=(
            Statement(
                operator("max_blur(taps=4)"),
                MAX,
                "better",
                metric="crop_per_image, consistency",
                published=2.09,
            ),
            Statement(operator("max_blur(taps=4)"), MAX, "not worse"),
        ),
        arms=operators(max="max", max_blur="max_blur(taps=4)"),
        suites=SHIFTS,
    ),
)
register(
    "chaman2021",
    Claim(
        source="Chaman and Dokmanic, Truly Shift-Invariant Convolutional Neural Networks, CVPR "
        "2021, arXiv:2011.14214",
        says="Adaptive polyphase sampling makes all predictions consistent under circular shifts, "
        "at no cost in accuracy.",
        scale="ResNet-18 on CIFAR-10, 250 epochs, circular padding, where it replaces strides; "
        "after a dense max on ImageNet",
        statements=(
            Statement(operator("max_aps"), MAX, "always", metric="circular_grid, consistency"),
            Statement(operator("max_aps"), MAX, "not worse"),
            Statement(operator("aps"), STRIDED, "not worse"),
        ),
        arms=operators(max="max", max_APS="max_aps", strided_conv="strided_conv", APS="aps"),
        suites=SHIFTS,
    ),
)
register(
    "lee2016",
    Claim(
        source="Lee, Gallagher and Tu, Generalizing Pooling Functions, AISTATS 2016, "
        "arXiv:1509.08985",
        says="Mixed max-average pooling and tree pooling are more accurate than max pooling.",
        scale="a network in network with deep supervision on CIFAR-10",
        statements=tuple(Statement(operator(name), MAX, "better") for name in ("mixed", "tree")),
        arms=operators(max="max(window=3)", mixed="mixed(window=3)", tree="tree(window=3)"),
    ),
)
register(
    "stergiou2021",
    Claim(
        source="Stergiou, Poppe and Kalliatakis, Refining Activation Downsampling with SoftPool, "
        "ICCV 2021, arXiv:2101.00440",
        says="SoftPool is more accurate than the pooling that it replaces, by 1 to 2 pp.",
        scale="ResNets, DenseNets and ResNeXts on ImageNet",
        statements=(Statement(operator("soft"), MAX, "better", published=1.0),),
        arms=operators(max="max", soft="soft"),
    ),
)
register(
    "riad2022",
    Claim(
        source="Riad et al., Learning Strides in Convolutional Neural Networks, ICLR 2022, "
        "arXiv:2202.01653",
        says="DiffStride is more accurate than strided convolution.",
        scale="ResNet-18 on CIFAR-10, three runs of the authors' repository, with learned strides; "
        "here only the cut-off frequency is learned, at a stride of 2",
        statements=(Statement(operator("diff_stride"), STRIDED, "better", published=3.14),),
        arms=operators(strided_conv="strided_conv", DiffStride="diff_stride"),
    ),
)
register(
    "grabinski2022",
    Claim(
        source="Grabinski et al., FrequencyLowCut Pooling, ECCV 2022, arXiv:2204.00491",
        says="Alias-free downsampling makes networks trained with FGSM more robust than strided "
        "convolution does, at no cost in accuracy.",
        scale="ResNet-18 with FGSM adversarial training on CIFAR-10; here without that training",
        statements=(
            Statement(operator("flc"), STRIDED, "better", metric="fgsm, accuracy"),
            Statement(operator("flc"), STRIDED, "not worse"),
        ),
        arms=operators(strided_conv="strided_conv", FLC="flc"),
        suites=("adversarial",),
    ),
)
register(
    "ruderman2018",
    Claim(
        source="Ruderman et al., Pooling is neither necessary nor sufficient for appropriate "
        "deformation stability in CNNs, 2018, arXiv:1804.04438",
        says="After training, networks with and without pooling are similarly sensitive to "
        "deformations.",
        scale="small networks on CIFAR-10 and ImageNet, layer by layer; here the mean over layers",
        statements=(
            Statement(STRIDED, MAX, "alike", metric="sensitivity", margin=0.2, relative=True),
        ),
        arms=operators(max="max", strided_conv="strided_conv"),
        suites=("deformation",),
    ),
)
register(
    "summers2021",
    Claim(
        source="Summers and Dinneen, Nondeterminism and Instability in Neural Network "
        "Optimization, ICML 2021, arXiv:2103.04514",
        says="Flipping one bit of the initial parameters causes as much run-to-run variability as "
        "changing the seed.",
        scale="ResNet-14 on CIFAR-10, 100 runs",
        statements=(Statement(("train.flip_bit=True", *ONE_SEED), (), "as variable"),),
        arms={"other seeds": (), "one bit": ("train.flip_bit=True", *ONE_SEED)},
        seeds=20,
    ),
)
