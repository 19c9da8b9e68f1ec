"""Every field of a run, with its default, allowed values, unit and meaning.

Durations are strings: "10 epochs", "500 steps", "64000 examples" or "5%" (of the whole training).
Changing a field that the chosen network, source, optimizer or schedule does not read is an
error, so no field is silently ignored. Intervals use mathematical notation: "[0, 1)" includes 0
and excludes 1. `free` fields may be changed when a run is resumed.
"""

from typing import Any

from ml_collections import ConfigDict

from cnn.config.fields import (
    Field,
    choice,
    duration,
    flag,
    prefixed,
    real,
    several,
    split_share,
    text,
    whole,
)
from cnn.config.metric import TRAINING

_SPECTRA = "data.sound.features=log_mel|mfcc"
_SIZE = "[1, 65536]"
_BATCH = "[1, 1048576]"
_SEED = "[-1, 2147483647]"

# "" and (): as published by the network's authors; see `python -m cnn.models`.
FIELDS: dict[str, Field] = {
    "seed": whole(
        0, "[0, 2147483647]", "drives initialisation, data order, augmentation and dropout"
    ),
    "plugins": several(text("", "files that --plugin loaded; never set by hand", later=True)),
    "init_from": text(
        "", "fine-tuning: run folder, checkpoint or weights file to start from", later=True
    ),
    "init_head": choice(
        ("keep", "new"), "fine-tuning: the classifier; new: freshly initialised", later=True
    ),
    "init_inflation": choice(
        ("none", "mean", "centre"),
        "fine-tuning a video network from an image network: mean: 2-D kernels repeated along time "
        "and divided by its length; centre: placed at the middle frame",
        later=True,
    ),
    "init_whitening": whole(
        0,
        "[0, 1048576]",
        "training examples whose patches initialise the whitening layer; 0: usual initialisation",
        later=True,
    ),
    **prefixed(
        "seeds",
        init=whole(-1, _SEED, "seed of the initialisation; -1: derived from seed"),
        order=whole(-1, _SEED, "seed of the data order; -1: derived from seed"),
        augment=whole(-1, _SEED, "seed of augmentation; -1: derived from seed"),
        dropout=whole(-1, _SEED, "seed of dropout; -1: derived from seed"),
    ),
    **prefixed(
        "data",
        signal=text("image", "kind of the examples: image, sound or video", later=True),
        source=text("tfds", "where the data come from; see cnn/data/sources"),
        name=text("fashion_mnist", "tfds, moving: name of the data set"),
        version=text("", 'tfds: such as "3.0.1"; "" takes the newest in data_dir'),
        data_dir=text("", 'tfds: folder of prepared data sets; "": tfds\' default', free=True),
        path=text(
            "", "folder: root of the class folders; tar: of the shards; npz: the file", free=True
        ),
        # Such as "train[:50%]"; folder: a subfolder of path, or ".", and optionally " ~ REGEX",
        # which the paths of its files must contain.
        train_split=text("train", "split to train on"),
        test_split=text("test", "split for the final evaluation and eval.py only"),
        validation=split_share(
            "0%", 'held out of train, independent of the seed: "10%", "5000 examples"'
        ),
        validation_split=text(
            "", 'a separate validation split instead, such as "val"; "": none', later=True
        ),
        image_size=whole(
            0, "[0, 65536]", "pixels per side after resizing; moving: of a frame; 0: as stored"
        ),
        interpolation=choice(
            ("area", "bilinear", "bicubic"),
            "tfds, folder, tar: for resizing; bilinear and bicubic are Pillow's and torchvision's",
            later=True,
        ),
        crop_ratio=real(
            1.0,
            "(0, 1]",
            "tfds, folder, tar: side of the centre square over the shorter side; ImageNet: 0.875",
            later=True,
        ),
        channels=choice((0, 1, 3), "tfds, folder: 1: grey, 3: colour; 0: as stored"),
        broken_files=choice(("refuse", "skip"), "folder, tar: unreadable files"),
        synthetic_shape=several(
            whole(1, _SIZE, "synthetic: height, width, channels"), 32, 32, 3, counts=(2, 3, 4)
        ),
        synthetic_examples=several(
            whole(1, "[1, 2147483647]", "synthetic: train and test examples"), 512, 128, counts=(2,)
        ),
        synthetic_classes=whole(10, "[2, 65536]", "synthetic: number of classes"),
        placement=choice(
            ("auto", "device", "stream"),
            "device: uint8 on the accelerator; auto: by size",
            free=True,
        ),
        device_limit=whole(
            1024,
            "[0, 16777216]",
            "largest split, in MiB, kept on the device",
            when="data.placement=auto",
            free=True,
        ),
        workers=whole(
            4, "[1, 1024]", "decoding threads; never changes the order or the values", free=True
        ),
        prefetch=whole(4, "[1, 1024]", "stream: batches decoded ahead", free=True),
        mean=several(
            real(
                0.0, "(-inf, inf)", "per channel, of pixels scaled to [0, 1]; (): measured on train"
            )
        ),
        std=several(
            real(1.0, "(0, inf)", "as mean; of sound: per band of the features, or one for waves")
        ),
    ),
    **prefixed(
        "data.video",
        frames=whole(16, _SIZE, "frames per clip"),
        sampling=choice(
            ("dense", "uniform"), "dense: `stride` apart | uniform: one from each of equal parts"
        ),
        stride=whole(
            1,
            _SIZE,
            "frames from one frame of the clip to the next",
            when="data.video.sampling=dense",
        ),
        random=flag(True, "in training: random start; uniform: random position in each part"),
        short=choice(
            ("loop", "hold", "refuse"), "videos with too few frames; hold: repeat the last one"
        ),
    ),
    **prefixed(
        "data.sound",
        rate=whole(16000, "[1, 2147483647]", "samples per second of all clips"),
        other_rates=choice(("resample", "refuse"), "folder, tfds: sounds of another rate"),
        seconds=real(1.0, "[0, 3600]", "folder, tfds: length of all clips"),
        short=choice(("pad", "refuse"), "folder, tfds: shorter sounds; pad: zeros at the end"),
        long=choice(("centre", "start"), "folder, tfds: which part of a longer sound"),
        channels=choice((1, 0), "folder, tfds: 1: mixed to one; 0: as stored"),
        features=choice(("log_mel", "wave", "mfcc"), "input of the network"),
        fft=whole(512, "[2, 1048576]", "samples per transform", when=_SPECTRA),
        window_length=whole(
            0,
            "[0, 1048576]",
            "samples of the window, centred in the transform; 0: fft",
            when=_SPECTRA,
        ),
        hop=whole(160, "[1, 1048576]", "samples between frames", when=_SPECTRA),
        window=choice(
            ("hann", "hamming", "blackman", "boxcar"), "of each frame; periodic", when=_SPECTRA
        ),
        centred=flag(True, "frames centred on multiples of the hop, zeros beyond", when=_SPECTRA),
        bands=whole(64, "[1, 4096]", "mel filters", when=_SPECTRA),
        low=real(0.0, "[0, inf)", "Hz, lower edge of the lowest filter", when=_SPECTRA),
        high=real(
            0.0, "[0, inf)", "Hz, upper edge of the highest filter; 0: half the rate", when=_SPECTRA
        ),
        scale=choice(("slaney", "htk"), "mel scale", when=_SPECTRA),
        filter_norm=choice(("area", "peak"), "normalised to 1 for each filter", when=_SPECTRA),
        exponent=choice(
            (2, 1), "of the spectrum; 2: power, 1: magnitude", when=_SPECTRA, later=True
        ),
        level=choice(
            ("decibels", "log"),
            "of a band x: 10 log10(max(x, floor)) | ln(x + floor), as in TensorFlow's front ends",
            when=_SPECTRA,
            later=True,
        ),
        floor=real(
            1e-10, "[1e-30, 1]", "power or magnitude below which values are clipped", when=_SPECTRA
        ),
        dynamic_range=real(
            0.0, "[0, 1000]", "dB kept below the maximum of a clip; 0: all", when=_SPECTRA
        ),
        coefficients=whole(
            13,
            "[1, 4096]",
            "cepstral coefficients kept, from the 0th",
            when="data.sound.features=mfcc",
        ),
        normalize=choice(
            ("train", "clip", "none"), "by mean and std of the training split, or of each clip"
        ),
    ),
    **prefixed(
        "augment",
        flip=flag(False, "left-right, with probability one half"),
        # Jordan 2024: no image has the same orientation in two consecutive epochs.
        alternate=flag(
            False,
            "flip each image in every other epoch, half of them in the first",
            when="augment.flip=True",
            later=True,
        ),
        pad=whole(0, "[0, 65536]", "pixels padded on each side before a random crop back to size"),
        pad_mode=choice(("zero", "reflect"), "values of the padding"),
        random_resized_crop=several(
            real(1.0, "(0, 1]", "(smallest, largest) share of the area, such as (0.08, 1.0)"),
            counts=(0, 2),
        ),
        sizes=several(
            whole(
                1,
                _SIZE,
                "successive training image sizes in pixels, replacing data.image_size; (): none",
                later=True,
            )
        ),
        size_boundaries=several(
            duration("", "after which training uses the next size", later=True)
        ),
        cutout=whole(0, "[0, 65536]", "pixels, side of the square set to the mean"),
        mixup=real(0.0, "[0, 1000]", "alpha of the Beta distribution; 0: off"),
        cutmix=real(
            0.0,
            "[0, 1000]",
            "alpha of the Beta distribution; with mixup, each step applies one of them; 0: off",
        ),
        time_shift=real(
            0.0, "[0, 3600]", "seconds, largest shift in either direction, zero-filled"
        ),
        noise=text("white", "white | pink | a folder of WAV and FLAC files"),
        noise_snr=several(
            real(0.0, "[-200, 200]", "(lowest, highest) signal-to-noise ratio in dB; (): no noise"),
            counts=(0, 2),
        ),
        time_masks=several(
            whole(0, "[0, 65536]", "SpecAugment's (number of masks, frames of the widest)"),
            counts=(0, 2),
        ),
        band_masks=several(
            whole(0, "[0, 65536]", "SpecAugment's (number of masks, bands of the widest)"),
            counts=(0, 2),
        ),
        extra=text("", "further augmentation policies: 'a, b(option=value)'", later=True),
        consistency=real(
            0.0,
            "[0, 1000]",
            "weight of the divergence of three views, two augmented by extra; AugMix: 12; 0: off",
            later=True,
        ),
        repeats=whole(
            1, "[1, 64]", "repeated augmentation: consecutive copies of each example", later=True
        ),
        color_ops=whole(0, "[0, 100]", "RandAugment-style colour operations per image; 0: off"),
        color_magnitude=real(9.0, "[0, 30]", "magnitude, as in the RandAugment paper"),
    ),
    **prefixed(
        "model",
        name=text("plain", "network; python -m cnn.models lists them"),
        features=several(whole(1, _SIZE, "width of each stage")),
        depths=several(whole(1, "[1, 4096]", "blocks of each stage")),
        width=real(
            1.0, "(0, 64]", "MobileNets, EfficientNets, Inception, AlexNet: width multiplier"
        ),
        stem=text(
            "", "cifar: strides 1, for 28 to 64 pixels | imagenet | deep: three 3x3 | strided"
        ),
        stem_downsample=text("", "after the stem; `python -m cnn.layers` lists the operators"),
        downsample=text("", "on the main path, wherever the resolution drops"),
        shortcut_downsample=text(
            "", "on the shortcut of a residual block, wherever the resolution drops"
        ),
        temporal_downsample=text(
            "", "video: on the main path, along time; the others then act on space only"
        ),
        shortcut_temporal_downsample=text("", "video: on the shortcut, along time"),
        shortcut=choice(
            ("", "pad", "projection"), "pad: zero channels, option A | 1x1 convolution, option B"
        ),
        head=text("", "global pooling before the classifier"),
        temporal_head=text("", "video: pooling over the per-frame features of an image network"),
        norm=text("", "normalisation layer"),
        norm_momentum=real(0.9, "[0, 1)", "batch: decay of the running statistics"),
        norm_epsilon=real(1e-5, "[0, 1)", "added to variances"),
        norm_frozen=flag(
            False,
            "batch: use the running statistics in training, without updating them",
            later=True,
        ),
        ghost_batch=whole(
            0, "[0, 1048576]", "batch: examples per group of statistics; 0: the whole batch"
        ),
        zero_scale=flag(False, "initialise the last norm of each residual branch at scale 0"),
        activation=text("", "any of jax.nn (gelu: tanh approximation); gelu_exact: by erf"),
        padding=choice(("SAME", "torch", "CIRCULAR", "REFLECT", "VALID"), "see cnn/ops/padding.py"),
        dropout=real(0.0, "[0, 1)", "rate, before the classifier; All-CNN: after each reduction"),
        input_dropout=real(0.0, "[0, 1)", "All-CNN: rate, of the pixels"),
        stem_dropout=real(0.0, "[0, 1)", "DS-CNN: rate, after the first convolution", later=True),
        stochastic_depth=real(
            0.0, "[0, 1)", "drop rate of the last residual branch, rising linearly from the first"
        ),
        scan=flag(
            False, "residual networks, ConvNeXt: compile equal blocks once, for training", free=True
        ),
        dtype=choice(("float32", "bfloat16"), "compute dtype; parameters stay float32"),
    ),
    **prefixed(
        "train",
        duration=duration("10 epochs", "length of training"),
        batch_size=whole(128, _BATCH, "global: over all devices, hosts and micro-batches"),
        accumulation=whole(1, _BATCH, "micro-batches per step"),
        loss=text("softmax_cross_entropy", "see cnn/training/losses.py", later=True),
        label_smoothing=real(0.0, "[0, 1)", "share of each target distributed over all classes"),
        ema_decay=real(0.0, "[0, 1)", "of all variables of the network, per step; 0: off"),
        ema_ramp=choice(
            ("updates", "cubic", "none"),
            "how ema_decay is reached, see cnn/training/averages.py",
            later=True,
        ),
        lookahead=whole(
            0,
            "[0, 1048576]",
            "interval in steps at which training continues from the average; 0: never",
            later=True,
        ),
        clip_norm=real(0.0, "[0, inf)", "maximum global norm of the gradient; 0: off"),
        flip_bit=flag(
            False,
            "flips the last bit of one initial kernel element, chosen by the seed",
            later=True,
        ),
        remat=flag(
            False,
            "keep only the inputs of blocks and recompute the rest in the backward pass: less "
            "memory, more time, the same values",
            free=True,
            later=True,
        ),
    ),
    **prefixed(
        "distillation",
        teacher=text("", "run folder or checkpoint of the teacher network", later=True),
        weight=real(
            0.5,
            "[0, 1]",
            "weight of the distillation loss; the loss on the labels gets the rest",
            later=True,
        ),
        temperature=real(4.0, "(0, inf)", "divides the logits of both networks", later=True),
    ),
    **prefixed(
        "optimizer",
        name=text("sgd", "see cnn/training/optimizer.py"),
        learning_rate=real(0.1, "[0, inf)", "peak, per 256 examples"),
        # linear: times batch_size / 256 (Goyal et al. 2017), which was derived for SGD and is
        # used with LARS and LAMB too; for other optimizers "none" is more common.
        scaling=choice(("linear", "none"), "of the learning rate with the batch", later=True),
        momentum=real(0.9, "[0, 1)", "decay of the velocity"),
        nesterov=flag(True, "Nesterov momentum"),
        beta1=real(0.9, "[0, 1)", "decay of the first moment"),
        beta2=real(0.999, "[0, 1)", "decay of the second moment"),
        epsilon=real(1e-8, "[0, 1)", "added to the root of the second moment"),
        # Added to the gradient for sgd, rmsprop and lars, otherwise decoupled.
        weight_decay=real(5e-4, "[0, inf)", "of kernels only"),
        layer_decay=real(
            1.0, "(0, 1]", "learning rate factor from each block to the one before", later=True
        ),
        ascent=text(
            "", "sam(rho=0.05) | asam: update by a second gradient, taken uphill", later=True
        ),
        # Replaces momentum and schedule: set momentum=0 or beta1=0, and schedule.name=constant.
        schedule_free=real(
            0.0,
            "[0, 1)",
            "weight of the average at the point where gradients are taken; 0: off",
            later=True,
        ),
        # A parameter belongs to the first group whose REGEX is found in its name; rate is a
        # factor of the learning rate, 0 freezes; further settings are fields of this section.
        groups=several(text("", "parameter groups: 'REGEX: rate=0.1 weight_decay=0'", later=True)),
    ),
    **prefixed(
        "schedule",
        name=text("cosine", "see cnn/training/optimizer.py"),
        warmup=duration("0 steps", "linear, from zero"),
        boundaries=several(duration("", "after which the learning rate is multiplied by factor")),
        factor=real(0.1, "[0, 1]", "of the learning rate, at each boundary"),
        final=real(0.0, "[0, 1]", "final learning rate relative to the peak"),
    ),
    **prefixed(
        "evaluation",
        every=duration("1 epochs", "interval of evaluation on the validation split, if any"),
        # Sums are in the order of the examples, so the size affects metrics only by rounding
        # inside the network: equal predictions, and losses to a relative 1e-6.
        batch_size=whole(256, _BATCH, "evaluation batch size, global", free=True),
        views=whole(1, "[1, 1024]", "evenly spaced clips per example, whose logits are averaged"),
        tta=choice(
            ("none", "mirror", "mirror_translate"),
            "test-time augmentation: logits averaged over views of the image",
            later=True,
        ),
        cifar_c=text(
            "", 'eval.py: folder of CIFAR-10-C\'s files; "": corruptions are generated', free=True
        ),
    ),
    **prefixed(
        "checkpoint",
        every=duration("1 epochs", "interval between checkpoints", free=True),
        keep=whole(
            1,
            "[1, 1048576]",
            "newest checkpoints kept, besides the best on validation",
            free=True,
        ),
        best_metric=choice(
            tuple(metric.name for metric in TRAINING),
            "validation metric that selects the best checkpoint",
            later=True,
        ),
    ),
    **prefixed(
        "log",
        every=duration("50 steps", "interval of logging; training metrics are averages over it"),
        trackers=text(
            "tensorboard",
            "besides metrics.jsonl, comma-separated: tensorboard, csv, wandb, mlflow",
            free=True,
        ),
    ),
    **prefixed(
        "mesh",
        # 0: all accelerators, or as many cores of a CPU as get 32 examples each.
        devices=whole(0, "[0, 1048576]", "devices that share the batch", free=True),
        # 1: every device has a full copy of parameters, optimizer state and averages.
        fsdp=whole(
            1, "[1, 1048576]", "devices that shard one copy of the state", free=True, later=True
        ),
    ),
}


def get_config() -> ConfigDict:
    """Returns the complete default configuration, locked."""
    tree: dict[str, Any] = {}
    for name, field in FIELDS.items():
        *groups, short = name.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[short] = field.default
    return ConfigDict(tree).lock()
