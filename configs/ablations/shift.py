"""Do anti-aliased reductions make predictions shift-consistent? The plain network on CIFAR-10.

    python ablate.py run --config=configs/ablations/shift.py --workdir=runs/shift \
        --config.data.data_dir=/path/to/tensorflow_datasets

Padding is circular throughout, so that the circular protocols measure the reductions alone, and no
augmentation shifts images, so that consistency is the network's own. Zhang (ICML 2019): max blur is
more consistent than max. Chaman & Dokmanic (CVPR 2021): APS is consistent at every circular shift.
"""

from cnn.ablation.planning.study_plan import StudyPlan


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Reductions under shifts, on 20,000 images of CIFAR-10",
        config="configs/base.py",
        shared=(
            "data.name=cifar10",
            "data.train_split=train[:40%]",
            "augment.flip=True",
            "model.name=plain",
            "model.features=32,64,128",
            "model.padding=CIRCULAR",
            "train.batch_size=64",
            "train.duration=3 epochs",
            "optimizer.learning_rate=0.4",
            "schedule.warmup=10%",
            "mesh.devices=1",
            "log.trackers=",
        ),
        arms={
            "max": (),
            "max blur": ("model.downsample=max_blur(taps=4)",),
            "APS": ("model.downsample=aps",),
        },
        baseline="max",
        seeds=range(3),
        margin=1.0,
        metric="circular_grid, consistency",
        suites=("shift(images=1000, exhaustive=16)",),
        repeat_baseline=False,
    )
