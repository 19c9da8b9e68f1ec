"""What a run says of its data, keeps of them, and refuses to go on with."""

import shutil

import cv2
import numpy as np
import pytest

from cnn.commands.eval import main
from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.loop import train
from tests.conftest import tiny_config


class StoppedError(Exception):
    pass


@pytest.fixture
def config(tmp_path):
    """A tiny run on class folders, of which one file of train and one of test are broken."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 3)):
        for level, name in enumerate(("[a]", "b[x]", "c")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8) + np.uint8(80 * level)
                assert cv2.imwrite(str(folder / f"{i}.png"), image)
        (folder / "broken.png").write_bytes(b"no image")
    return tiny_config(
        "data.source=folder",
        f"data.path={tmp_path / 'images'}",
        "data.broken_files=skip",
        "data.validation=0%",
        "train.duration=6 steps",
    )


def test_skipped_files_are_counted_on_the_screen_and_in_the_result(config, tmp_path, capsys):
    result = train(config, str(tmp_path / "run"))
    assert result["skipped"]["count"] == 2
    assert all("broken.png: not an image" in file for file in result["skipped"]["files"])
    printed = capsys.readouterr().out
    for split in ("train", "test"):
        assert f"1 broken file is left out of {tmp_path / 'images' / split}: " in printed
    assert list(result["test"]["accuracy_per_class"]) == ["[a]", "b[x]", "c"]
    # Evaluation knows classes by name: with other folders than training had, nothing permutes.
    shutil.copytree(tmp_path / "images" / "test", tmp_path / "others" / "test")
    shutil.rmtree(tmp_path / "others" / "test" / "b[x]")
    given = f"data.path={tmp_path / 'others'}"
    capsys.readouterr()
    main([f"--workdir={tmp_path / 'run'}", f"--config.{given}"])
    printed = capsys.readouterr().out
    assert f"1 broken file is left out of {tmp_path / 'others' / 'test'}: " in printed
    assert "these are not the test examples of the run (examples of test: 9 -> 6)" in printed
    assert "[a]" in printed  # in the table of accuracies per class
    assert '"accuracy"' in printed.splitlines()[-1]
    outcomes = open_run(str(tmp_path / "run"), overrides=[given]).outcomes("test")
    assert np.bincount(outcomes["label"]).tolist() == [3, 0, 3]
    kept = np.load(tmp_path / "run" / "test_predictions.npz")
    chosen = kept["label"] != 1
    np.testing.assert_array_equal(outcomes["prediction"], kept["prediction"][chosen])


def test_a_run_does_not_go_on_with_other_data(config, tmp_path):
    steps = []

    def stop():
        steps.append(1)
        if len(steps) == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(config, str(tmp_path / "run"), quiet=True, alive=stop)
    stored = (tmp_path / "run" / "config.json").read_bytes()
    image = tmp_path / "images" / "train" / "c" / "0.png"
    image.rename(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"run on other data: examples of train: 36 -> 35; restore"):
        train(config, str(tmp_path / "run"), quiet=True)
    assert (tmp_path / "run" / "config.json").read_bytes() == stored
    with pytest.raises(UserError, match=r"--split=train: these are not the train examples"):
        open_run(str(tmp_path / "run"), split="train")
    (tmp_path / "0.png").rename(image)
    image = tmp_path / "images" / "test" / "c" / "0.png"
    image.rename(image.with_name("9.png"))
    with pytest.raises(UserError, match=r"content or order of the 9 examples of test; restore"):
        train(config, str(tmp_path / "run"), quiet=True)
    with pytest.raises(UserError, match=r"--split=test: these are not the test examples of the r"):
        open_run(str(tmp_path / "run"))
    # Whoever names the data means them.
    given = f"data.path={tmp_path / 'images'}"
    (remark,) = open_run(str(tmp_path / "run"), overrides=[given]).remarks
    assert remark.endswith("(content or order of the 9 examples of test)")
    image.with_name("9.png").rename(image)
    assert train(config, str(tmp_path / "run"), quiet=True)["step"] == 6
