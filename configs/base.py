"""Every field of a run, with its default, unit and meaning. Experiment files change a few of them.

Durations are strings: "10 epochs", "500 steps", "64000 examples" or "5%" (of the whole training).
A field that the chosen network, source, optimizer or schedule does not read is refused when it is
changed, so no field silently does nothing.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the complete default configuration."""
    config = ConfigDict()
    config.seed = 0  # drives initialisation, data order, augmentation and dropout
    config.seeds = ConfigDict(
        dict(
            init=-1,  # holds one of them at a seed of its own; -1: follows seed
            order=-1,  # likewise
            augment=-1,  # likewise
            dropout=-1,  # likewise
        )
    )

    config.data = ConfigDict(
        dict(
            signal="image",  # what examples are; see cnn/data/signals
            source="tfds",  # tfds | folder | npz | synthetic | moving: clips of images that move
            name="fashion_mnist",  # tfds, moving: name of the data set
            version="",  # tfds: such as "3.0.1"; "" takes the newest in data_dir
            data_dir="",  # tfds: folder of prepared data sets; "" is tfds' own default
            path="",  # folder: root of the class folders; npz: the file
            train_split="train",  # such as "train[:50%]"; folder: a subfolder of path, or ".",
            # and maybe " ~ REGEX", which its files' paths below it have to contain
            test_split="test",  # read by the final evaluation and eval.py only
            validation="0%",  # carved out of train whatever the seed: "10%" or "5000 examples"
            image_size=0,  # pixels the centre square is resized to; moving: of a frame; 0: stored
            channels=0,  # tfds, folder: 1: grey, 3: colour; 0: as stored
            broken_files="refuse",  # folder: refuse | skip
            synthetic_shape=(32, 32, 3),  # synthetic: height, width, channels
            synthetic_examples=(512, 128),  # synthetic: train and test examples
            synthetic_classes=10,  # synthetic: number of classes
            placement="auto",  # device: uint8 on the accelerator | stream | auto, by size
            device_limit=1024,  # auto: largest split, in MiB, that goes on the device
            workers=4,  # decoding threads; never changes the order or the values
            prefetch=4,  # stream: batches decoded ahead
            mean=(),  # per channel, of pixels scaled to [0, 1]; (): measured on train
            std=(),  # likewise; of sound: per band of the features, or one for waves
            video=ConfigDict(
                dict(
                    frames=16,  # of a clip
                    sampling="dense",  # dense: `stride` apart | uniform: one of each equal part
                    stride=1,  # dense: frames from one to the next
                    random=True,  # in training: the start, or for uniform each place in its part
                    short="loop",  # videos of too few frames: loop | hold the last one | refuse
                )
            ),
            sound=ConfigDict(
                dict(
                    rate=16000,  # samples a second of all clips
                    other_rates="resample",  # folder, tfds: resample | refuse
                    seconds=1.0,  # folder, tfds: length of all clips
                    short="pad",  # folder, tfds: shorter sounds: pad (zeros behind) | refuse
                    long="centre",  # folder, tfds: part of a longer sound: start | centre
                    channels=1,  # folder, tfds: 1: mixed to one; 0: as stored
                    features="log_mel",  # wave | log_mel | mfcc: what the network sees
                    fft=512,  # samples of a transform
                    window_length=0,  # samples of the window, in its middle; 0: fft
                    hop=160,  # samples between frames
                    window="hann",  # hann | hamming | blackman | boxcar; periodic
                    centred=True,  # frames centred on multiples of the hop, zeros beyond the ends
                    bands=64,  # mel filters
                    low=0.0,  # Hz, where the lowest filter begins
                    high=0.0,  # Hz, where the highest ends; 0: half the rate
                    scale="slaney",  # mel scale: slaney | htk
                    filter_norm="area",  # of each filter over Hz: area (is one) | peak (is one)
                    floor=1e-10,  # power below which everything is silence
                    dynamic_range=0.0,  # dB below a clip's loudest that are kept; 0: all
                    coefficients=13,  # mfcc: cosines kept of the log-mel spectrum, from the 0th
                    normalize="train",  # by mean and std of train | clip: its own | none
                )
            ),
        )
    )
    config.augment = ConfigDict(
        dict(
            flip=False,  # left-right, with probability one half
            pad=0,  # pixels padded on each side before a random crop back to size
            pad_mode="zero",  # zero | reflect
            random_resized_crop=(),  # (smallest, largest) share of the area, such as (0.08, 1.0)
            cutout=0,  # pixels, side of the square set to the mean
            mixup=0.0,  # alpha of the Beta distribution; 0: off
            cutmix=0.0,  # likewise; with both on, each step takes one of them
            time_shift=0.0,  # sound: seconds, the largest shift either way; zeros come in
            noise="white",  # sound: white | pink | a folder of WAV and FLAC files
            noise_snr=(),  # sound: (lowest, highest) signal-to-noise ratio in dB; (): no noise
            time_masks=(),  # sound: SpecAugment's (number of masks, frames of the widest)
            band_masks=(),  # sound: likewise (number of masks, bands of the widest)
            color_ops=0,  # RandAugment-style colour operations an image; 0: off
            color_magnitude=9.0,  # of 30, as in the RandAugment paper
        )
    )
    # "" and (): as the network's authors published it; `python -m cnn.models` shows that.
    config.model = ConfigDict(
        dict(
            name="plain",
            features=(),  # width of each stage
            depths=(),  # blocks of each stage
            width=1.0,  # MobileNets: factor of all widths
            stem="",  # cifar: strides 1, for 28 to 64 pixels | imagenet | deep: three 3x3
            stem_downsample="",  # behind the stem; `python -m cnn.layers` lists the operators
            downsample="",  # on the main path, wherever the resolution drops
            shortcut_downsample="",  # on the shortcut of a residual block, likewise
            temporal_downsample="",  # clips: on the main path, along time; the others then leave it
            shortcut_temporal_downsample="",  # clips: on the shortcut, along time
            shortcut="",  # pad: zero channels, option A | projection: 1x1 convolution, option B
            head="",  # global pooling before the classifier
            temporal_head="",  # clips: pooling over what a network of images finds in each frame
            norm="",  # batch | group | layer | instance | none
            norm_momentum=0.9,  # batch: share of the running statistics kept at each step
            norm_epsilon=1e-5,
            ghost_batch=0,  # batch: examples that share statistics; 0: the whole batch
            zero_scale=False,  # start the last norm of each residual branch at scale 0
            activation="",  # any activation of jax.nn
            padding="SAME",  # SAME | torch | CIRCULAR | REFLECT | VALID, see cnn/ops/padding.py
            dropout=0.0,  # rate, before the classifier; All-CNN: behind each reduction
            input_dropout=0.0,  # All-CNN: rate, of the pixels
            stochastic_depth=0.0,  # rate of dropping the last residual branch; the first: near 0
            scan=False,  # residual networks, ConvNeXt: compile equal blocks once, for training
            dtype="float32",  # of the computation: float32 | bfloat16; parameters stay float32
        )
    )
    config.train = ConfigDict(
        dict(
            duration="10 epochs",
            batch_size=128,  # global: over all devices, hosts and accumulation steps
            accumulation=1,  # micro-batches a step
            label_smoothing=0.0,
            ema_decay=0.0,  # of parameters and batch statistics, a step; 0: off
            clip_norm=0.0,  # of the gradient, global; 0: off
        )
    )
    config.optimizer = ConfigDict(
        dict(
            name="sgd",  # sgd | adamw | lamb | lion
            learning_rate=0.1,  # per 256 examples: the peak is learning_rate * batch_size / 256
            momentum=0.9,  # sgd
            nesterov=True,  # sgd
            beta1=0.9,  # adamw, lamb, lion
            beta2=0.999,  # adamw, lamb, lion
            epsilon=1e-8,  # adamw, lamb
            weight_decay=5e-4,  # of kernels only; added to the gradient for sgd, else decoupled
        )
    )
    config.schedule = ConfigDict(
        dict(
            name="cosine",  # constant | cosine | linear | step | one_cycle
            warmup="0 steps",  # linear, from zero
            boundaries=(),  # step: durations after which the rate is multiplied by factor
            factor=0.1,  # step
            final=0.0,  # cosine, linear, one_cycle: last rate as a share of the peak
        )
    )
    config.evaluation = ConfigDict(
        dict(
            every="1 epochs",  # on the validation part, when there is one
            batch_size=256,  # any size gives the same figures
            views=1,  # video: clips spread over each example, whose logits are averaged
            cifar_c="",  # eval.py: folder of CIFAR-10-C's files; "": corruptions are generated
        )
    )
    config.checkpoint = ConfigDict(
        dict(
            every="1 epochs",
            keep=1,  # newest ones kept, besides the best on the validation part
        )
    )
    config.log = ConfigDict(
        dict(
            every="50 steps",
            tensorboard=True,
        )
    )
    config.mesh = ConfigDict(
        dict(
            # Devices that share the batch; 0: all accelerators, or as many cores of a CPU as get 32
            # examples each.
            devices=0,
        )
    )
    return config.lock()
