"""Verdicts where nothing differs: 200 seeds of one short config.

    python ablate.py run --config=configs/ablations/null.py --workdir=runs/null \
        --config.data.data_dir=/path/to/tensorflow_datasets

Groups of seeds are sampled from it and compared as if they were arms: every "better" or "worse" is
an error, since the config is the same. The plain network on 4,000 images of Fashion-MNIST, tested
on the full test set.
"""

from cnn.ablation.planning.study_plan import StudyPlan


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="The same config with 200 seeds, on 4,000 images of Fashion-MNIST",
        config="configs/base.py",
        shared=(
            "data.name=fashion_mnist",
            "data.train_split=train[:4000]",
            "augment.flip=True",
            "model.name=plain",
            "model.features=16,32,64",
            "train.batch_size=64",
            "train.duration=3 epochs",
            "optimizer.learning_rate=0.4",
            "schedule.warmup=10%",
            "evaluation.every=3 epochs",
            "checkpoint.every=3 epochs",
            "mesh.devices=1",
            "log.trackers=",
        ),
        arms={"max": ()},
        baseline="max",
        seeds=range(200),
        margin=0.5,
        repeat_baseline=False,
    )
