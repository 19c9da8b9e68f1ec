"""`python -m cnn.cost` as a user calls it."""

import pytest

from cnn.config.errors import UserError
from cnn.cost.__main__ import main


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image=224x224"], ["--image", "224x224", "224,224,3"]),
        (["--config.model.name=resnet21"], ["model.name", "did you mean"]),
        (["--config.model.depths=3"], ["model.features", "model.depths"]),
    ],
)
def test_bad_requests_are_one_sentence(arguments, words):
    with pytest.raises(UserError) as refused:
        main(arguments)
    assert any(word in str(refused.value) for word in words)
