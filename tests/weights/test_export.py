"""Export and import are inverse, byte for byte; other libraries' shapes are theirs."""

import jax
import numpy as np
import pytest
import safetensors.numpy

import cnn
from cnn.config.base import get_config
from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.foreign.fitting import configured, fit, nested, shapes_of
from cnn.foreign.layouts import LAYOUTS
from cnn.foreign.readers import read
from cnn.training.loop import train
from cnn.training.stored_weights import read_weights
from cnn.weights.__main__ import main
from cnn.weights.exported import export
from tests.conftest import tiny_config
from tests.weights.golden import FILES, read_golden

WRITTEN = [f for f in FILES if LAYOUTS[f.stem.partition("-")[0]].exports]


def brought(layout, leaves, file):
    tensors = read(file).tensors
    found = fit(layout, leaves, tensors)
    assert found.perfect, list(found.differences())
    return nested({leaf.ours: leaf.bring(tensors) for leaf in leaves})


def assert_same_bytes(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.stem)
def test_an_export_is_the_source_and_comes_back_the_same(tmp_path, file):
    golden = read_golden(file)
    leaves = golden.leaves()
    variables = nested({leaf.ours: leaf.bring(golden.tensors) for leaf in leaves})
    config = get_config()
    with config.unlocked():
        config.model = golden.model
    target = tmp_path / "out.safetensors"
    count, differing = export(config, 7, variables, golden.layout_name, str(target))
    written = safetensors.numpy.load_file(target)
    assert count == len(written)
    assert not [text for text in differing if "head" not in text]
    assert {n: t.shape for n, t in written.items()} == {
        n: t.shape for n, t in golden.tensors.items()
    }
    for name, tensor in golden.tensors.items():
        assert written[name].tobytes() == tensor.tobytes(), name
    assert_same_bytes(variables, brought(golden.layout, leaves, target))
    export(config, 7, variables, "own", str(target))
    own = LAYOUTS["own"]
    shapes = {leaf.ours: leaf.form.ours for leaf in leaves}
    found = brought(own, own.leaves(golden.name, golden.network, shapes), target)
    assert_same_bytes(variables, found)


def random_variables(model, classes):
    rng = np.random.default_rng(0)
    shapes = shapes_of(model, classes, (32, 32, 3))
    return nested({p: rng.random(s, np.float32) for p, s in shapes.items()}), shapes


@pytest.mark.parametrize("name", ["all_cnn_c", "se_resnet18", "wrn16_4", "airbench", "lenet5"])
def test_every_network_is_written_in_our_own_layout(tmp_path, name):
    config = get_config()
    with config.unlocked():
        config.model.name = name
    variables, shapes = random_variables(config.model, 10)
    export(config, 10, variables, "own", str(tmp_path / "out"))
    own = LAYOUTS["own"]
    assert_same_bytes(variables, brought(own, own.leaves(name, None, shapes), tmp_path / "out"))


def test_settings_that_the_other_library_does_not_have_are_reported(tmp_path):
    layout = LAYOUTS["timm"]
    config = get_config()
    with config.unlocked():
        config.model = configured(config.model, layout, "resnet18")
        config.model.padding = "SAME"
    variables, _ = random_variables(config.model, 10)
    _, differing = export(config, 10, variables, "timm", str(tmp_path / "out"))
    assert differing == ["model.padding is 'SAME' here and 'torch' there"]


def test_what_no_library_has_is_refused_and_nothing_is_written(tmp_path):
    config = get_config()
    with config.unlocked():
        config.model.update(name="resnet18")
    target = tmp_path / "out"
    for layout, name, message in (
        ("torchvision", "se_resnet18", "no counterpart for 'se_resnet18'"),
        ("keras", "resnet50_v1", "'keras' can be imported only"),
        ("nothing", "resnet18", "unknown layout 'nothing'"),
    ):
        with config.unlocked():
            config.model.name = name
        with pytest.raises(UserError, match=message):
            export(config, 10, {}, layout, str(target))
    with config.unlocked():
        config.model.update(name="resnet18", downsample="all_conv")
    variables, _ = random_variables(config.model, 10)
    with pytest.raises(UserError, match=r"it has no name for .*downsample"):
        export(config, 10, variables, "timm", str(target))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layout", "field"),
    [
        ("own", "model.norm_epsilon=1e-3"),
        ("torchvision", "model.padding=SAME"),
        pytest.param("timm", "model.padding=torch", marks=pytest.mark.exhaustive),
    ],
)
def test_a_run_goes_out_and_comes_back_the_same(tmp_path, layout, field):
    fields = ("model.name=resnet18", "model.features=8,12", "model.depths=1,1", field)
    run, back, file = tmp_path / "run", tmp_path / "back", tmp_path / "out.safetensors"
    train(tiny_config(*fields, "train.duration=2 steps"), str(run))
    main(["export", f"--workdir={run}", f"--layout={layout}", f"--to={file}"])
    # No data set is named: the file knows all that a prediction needs.
    main(["import", "--model=resnet18", f"--from={file}", f"--workdir={back}"])
    before, after = cnn.open_run(run), cnn.open_run(back)
    assert_same_bytes(before.variables, after.variables)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    one, other = before.predict(images), after.predict(images)
    np.testing.assert_array_equal(one.logits, other.logits)
    assert (after.class_names, other.labels) == (before.class_names, one.labels)
    stored = [read_weights(str(folder), "--workdir") for folder in (run, back)]
    assert stored[0].mean == stored[1].mean
    kept = [(s.config.data.crop_ratio, s.config.data.interpolation) for s in stored]
    assert kept == [(1.0, "area")] * 2


def test_a_file_of_another_network_of_ours_is_refused(tmp_path):
    config = get_config()
    with config.unlocked():
        config.model.update(name="resnet18", features=(8, 12), depths=(1, 1))
    variables, _ = random_variables(config.model, 10)
    export(config, 10, variables, "torchvision", str(tmp_path / "out"))
    with pytest.raises(UserError, match="was exported from resnet18; give --model=resnet18"):
        main(["import", "--model=resnet34", f"--from={tmp_path}/out", f"--workdir={tmp_path}/run"])


def test_a_network_for_sound_comes_back_with_its_features(tmp_path):
    fields = ("model.name=resnet20", "model.features=4,6,8", "model.depths=1,1,1")
    sound = ("signal=sound", "synthetic_shape=1600,1", "sound.seconds=0.1", "sound.bands=24")
    run, back, file = tmp_path / "run", tmp_path / "back", tmp_path / "out.safetensors"
    fields = (*fields, *(f"data.{field}" for field in sound), "train.duration=1 steps")
    train(tiny_config(*fields), str(run), quiet=True)
    main(["export", f"--workdir={run}", f"--to={file}"])
    main(["import", "--model=resnet20", f"--from={file}", f"--workdir={back}"])
    before, after = (open_run(str(folder), split=None) for folder in (run, back))
    assert_same_bytes(before.variables, after.variables)
    signals = [opened.evaluator.dataset.signal for opened in (before, after)]
    assert signals[0].example == signals[1].example
    waves = np.random.default_rng(0).integers(-3000, 3000, (2, *signals[0].example.shape))
    waves = waves.astype(signals[0].example.dtype)
    one, other = (np.asarray(signal.prepare(waves)) for signal in signals)
    np.testing.assert_array_equal(one, other)
