"""`python -m cnn.cost` as a user calls it."""

import pytest

from cnn.config.errors import UserError
from cnn.cost.__main__ import main
from cnn.training.run_folder import RunFolder
from tests.conftest import tiny_config


def test_one_table_of_blocks_or_of_layers(capsys):
    main(["--config.model.name=resnet20", "--config.model.shortcut=projection"])
    blocks = capsys.readouterr().out
    assert "40,813,184" in blocks
    assert "272,474" in blocks
    assert "stage3_block1" in blocks
    main(["--config.model.name=mobilenet_v1", "--layers", "--image=32,32,3", "--classes=7"])
    layers = capsys.readouterr().out
    assert "depthwise 3x3 /2" in layers
    assert "32x32x3, 7 classes" in layers
    main(["--config.data.image_size=24"])
    assert "24x24" in capsys.readouterr().out


def test_the_input_is_that_of_the_data_of_a_config_else_it_is_reported_to_be_assumed(capsys):
    main(["--config=configs/fashion_mnist_10k.py"])
    output = capsys.readouterr().out
    assert "plain, 28x28x1, 10 classes" in output
    assert "assumed" not in output
    main(["--config=configs/fashion_mnist_10k.py", "--config.data.data_dir=/nowhere"])
    output = capsys.readouterr().out
    assert output.startswith(
        "32x32x3 is assumed: the network was published for it; --image=HEIGHT,"
    )
    assert "--classes=N give others (" in output


def test_a_run_is_counted_with_its_input_and_classes(tmp_path, capsys):
    config = tiny_config("data.synthetic_shape=9,7,1")
    resolved = {
        "mean": [0.5],
        "std": [0.5],
        "example": {"shape": [9, 7, 1], "dtype": "uint8"},
        "identity": {"class_names": list("abcdefg"), "examples": {}, "fingerprint": {}},
    }
    RunFolder(tmp_path / "run").claim(config, resolved)
    main([f"--workdir={tmp_path / 'run'}"])
    assert "plain, 9x7x1, 7 classes" in capsys.readouterr().out
    with pytest.raises(UserError, match="--workdir: a run has its config"):
        main([f"--workdir={tmp_path / 'run'}", "--config.model.name=lenet5"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image=224x224"], ["--image", "224x224", "224,224,3"]),
        (["--classes=-1"], ["--classes: -1 is too few"]),
        (["--classes=0"], ["--classes: 0 is too few"]),
        (["--config.model.name=resnet21"], ["model.name", "did you mean"]),
        (["--config.model.depths=3"], ["model.features", "model.depths"]),
    ],
)
def test_bad_requests_are_one_sentence(arguments, words):
    with pytest.raises(UserError) as refused:
        main(arguments)
    assert any(word in str(refused.value) for word in words)
