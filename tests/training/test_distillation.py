"""What a teacher adds to the loss, against NumPy; where it is from is part of the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.distillation import Teacher, make_teacher
from cnn.training.initial import Start
from cnn.training.loop import train
from cnn.training.replicas import train_replicas
from cnn.training.run_folder import RunFolder
from tests.conftest import tiny_config
from tests.training.test_losses import softmax
from tests.training.test_steps import BATCH, CLASSES, Linear, by_hand, make_batch, recipe, run

PLAIN = ("log.trackers=", "data.validation=0%", "model.norm=layer")


def variables(seed):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(2, CLASSES)).astype(np.float32)
    return {"params": {"head": {"kernel": kernel, "bias": np.zeros(CLASSES, np.float32)}}}


def teacher(weight, temperature, own, scale=(), shift=()):
    return Teacher(Linear(), own, scale, shift, weight, temperature, Start())


def losses(logits, taught, weight, temperature):
    """Hinton et al., in float64: cross-entropies of labels and of softened answers."""
    labels = np.eye(CLASSES)[make_batch()["label"]]
    p, q = softmax(taught / temperature), softmax(logits / temperature)
    soft = (p * np.log(p / q)).sum(-1)
    hard = -(labels * np.log(softmax(logits))).sum(-1)
    return (1 - weight) * hard + weight * temperature**2 * soft


@pytest.mark.parametrize("accumulation", [1, 4])
def test_loss_and_gradients_are_those_of_numpy(accumulation):
    weight, temperature, own = 0.7, 3.0, variables(5)
    scale, shift = (2.0, 0.5), (0.25, -1.0)
    known = teacher(weight, temperature, own, scale, shift)
    first, (state,), sums = run(recipe(teacher=known, accumulation=accumulation))
    x = make_batch()["input"].astype(np.float64).mean((1, 2))
    before, after = first.params["head"], state.params["head"]
    logits = x @ np.asarray(before["kernel"], np.float64)
    # The teacher sees the same pixels under its own normalisation.
    taught = (x * scale + shift) @ own["params"]["head"]["kernel"].astype(np.float64)
    wanted = losses(logits, taught, weight, temperature).sum()
    np.testing.assert_allclose(sums["loss"], wanted, rtol=1e-5)
    soft = temperature * (softmax(logits / temperature) - softmax(taught / temperature)) / BATCH
    _, hard, _, _ = by_hand(before)
    kernel = (1 - weight) * hard + weight * x.T @ soft
    np.testing.assert_allclose(after["kernel"], before["kernel"] - 0.5 * kernel, atol=1e-6)


def test_weight_zero_is_plain_training():
    _, (plain,), _ = run(recipe())
    _, (taught,), _ = run(recipe(teacher=teacher(0.0, 4.0, variables(5))))
    for a, b in zip(jax.tree.leaves(plain.params), jax.tree.leaves(taught.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    first, _, _ = run(recipe())
    same = {"params": jax.tree.map(np.asarray, first.params)}
    _, (state,), sums = run(recipe(teacher=teacher(1.0, 4.0, same)))
    assert abs(sums["loss"]) < 1e-6
    np.testing.assert_allclose(
        state.params["head"]["kernel"], first.params["head"]["kernel"], atol=1e-7
    )


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Returns a trained run whose pixels have another normalisation than is usual."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(tiny_config(*PLAIN, "seed=3", "data.mean=0.1,0.2,0.3"), folder, quiet=True)
    return folder


def test_a_run_is_bound_to_its_teacher(taught, tmp_path):
    config = tiny_config(*PLAIN, f"distillation.teacher={taught}", "distillation.weight=0.9")
    train(config, tmp_path / "student", quiet=True)
    record = RunFolder(tmp_path / "student").record()
    assert record["resolved"]["teacher"]["step"] == 12
    (ending,) = train_replicas([config], [tmp_path / "replica"])
    student = RunFolder(tmp_path / "student").result()
    assert ending["test"]["accuracy"] == student["test"]["accuracy"]
    assert ending["fingerprint"] == student["fingerprint"] == record["fingerprint"]

    other = tmp_path / "other"
    train(tiny_config(*PLAIN, "seed=4"), other, quiet=True)
    (tmp_path / "student" / "result.json").unlink()
    taught.rename(tmp_path / "kept")
    other.rename(taught)
    with pytest.raises(UserError, match=r"distillation.teacher: .* holds different weights"):
        train(config, tmp_path / "student", quiet=True)
    taught.rename(other)
    (tmp_path / "kept").rename(taught)


def test_pixels_are_normalised_as_the_teacher_s_were(taught):
    config = tiny_config(*PLAIN, f"distillation.teacher={taught}")
    dataset = open_dataset(config.data)
    pixels, _ = dataset.test.read(np.arange(4))
    found = make_teacher(config, dataset)
    ours = found.answer(dataset.signal.prepare(jnp.asarray(pixels)))
    record = RunFolder(taught).record()["resolved"]
    theirs = (pixels / 255 - record["mean"]) / record["std"]
    wanted = found.model.apply(found.variables, theirs.astype(np.float32), train=False)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("distillation.weight=0.3",), "distillation.weight: has no effect without"),
        (
            ("distillation.teacher=/nowhere",),
            "distillation.teacher: /nowhere is neither a run folder",
        ),
        (("distillation.teacher=TAUGHT", "data.synthetic_classes=5"), "has 7 classes"),
    ],
)
def test_teachers_that_cannot_be_are_refused(overrides, words, taught, tmp_path):
    given = [text.replace("TAUGHT", str(taught)) for text in overrides]
    with pytest.raises(UserError, match=words) as error:
        train(tiny_config(*PLAIN, *given), tmp_path / "x", quiet=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()
