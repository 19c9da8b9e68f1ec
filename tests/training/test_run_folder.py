"""Run folders that were cut, edited or killed: one sentence that names file and place."""

import json
import os
import re

import numpy as np
import pytest

from cnn.ablation import start
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.cost import bench, plan
from cnn.training.logs import MetricLog, read_metrics
from cnn.training.run_folder import RunFolder, check_free, check_output
from cnn.weights.exported import export
from tests.conftest import tiny_config


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(tiny_config(), {"mean": [0.5] * 3, "std": [0.2] * 3})
    return folder


def edit(file, change):
    """Edits a record as if it had been written so."""
    record = json.loads(file.read_text())
    record.pop("sha256", None)
    change(record)
    file.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("fingerprint"), "no field 'fingerprint'"),
        (lambda r: r.update(config=[]), "'config' is []"),
        (lambda r: r.update(resolved={}), "no field 'resolved.mean'"),
        (lambda r: r["resolved"].update(std=3), "'resolved.std' is 3"),
        (lambda r: r["resolved"].update(std=["a"]), "'resolved.std' is not numeric"),
        (lambda r: r["resolved"].update(mean=[float("nan")]), "'resolved.mean' is not numeric"),
        (lambda r: r["resolved"].update(mean=[10**400]), "'resolved.mean' is not numeric"),
        (lambda r: r["config"]["optimizer"].update(learning_rate=10**400), "learning_rate"),
        (lambda r: r["config"]["train"].update(batch_size="many"), "batch_size"),
        (lambda r: r["config"]["train"].update(batch_size=-4), "batch_size"),
        (lambda r: r["config"]["model"].update(features=4), "features"),
        (lambda r: r["config"].update(train=3), "train"),
        (lambda r: r["config"]["train"].update(speed=3), "train.speed"),
    ],
)
def test_an_edited_config_is_refused_by_file_and_field(folder, change, words):
    edit(folder.config_file, change)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        folder.config()
    assert str(caught.value).startswith(str(folder.config_file))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{"step": 12,\n "test": {"acc', "line 2"),
        (b"\xff\xfe\x00", "byte 0"),
        (b"[1, 2]", "does not contain a JSON object"),
        (b'{"step": "12"}', "'step' is \"12\""),
        (b'{"step": true}', "'step' is true"),
        (b'{"step": 12, "test": {"accuracy": NaN}}', "'test.accuracy' is NaN"),
        (b'{"step": 12, "test": {}}', "no field 'test.accuracy'"),
        (b'{"step": 12, "test": {"accuracy": 1%s}}' % (b"0" * 400), "'test.accuracy' is 1000"),
        (b'{"step": 1%s}' % (b"0" * 5000), "Exceeds the limit (4300 digits)"),
    ],
)
def test_a_damaged_result_is_refused_by_file_and_place(folder, content, words):
    folder.result_file.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        folder.result()
    assert str(caught.value).startswith(str(folder.result_file))


RESULT = {
    "step": 12,
    "test": {"accuracy": 0.5, "loss": 1, "confusion": [[1, 0], [1, 0]]},
    "validation": {},
    "best": None,
    "fingerprint": "",
    "config": {},
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["test"].update(confusion="many"), "'test.confusion' is \"many\""),
        (lambda r: r["test"].update(confusion=[[1, 0]]), "is not a square matrix of counts"),
        (lambda r: r["test"].update(confusion=[[1, "0"], [1, 0]]), "is not a square matrix"),
        (lambda r: r["test"].update(top5_accuracy="1"), "'test.top5_accuracy' is \"1\""),
        (lambda r: r["validation"].update(loss=None), "'validation.loss' is null"),
        (lambda r: r.update(versions=None), "'versions' is null"),
        (lambda r: r.update(cores="two"), "'cores' is \"two\""),
    ],
)
def test_an_edited_result_is_refused_by_file_and_field(folder, change, words):
    folder.result_file.write_text(json.dumps(RESULT))
    assert folder.result() == RESULT
    edit(folder.result_file, change)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        folder.result()
    assert str(caught.value).startswith(str(folder.result_file))


@pytest.mark.parametrize("label", [np.zeros(3, np.uint8), np.zeros((4, 1)), np.array(list("abcd"))])
def test_predictions_that_are_no_numbers_for_each_example_are_refused(folder, label):
    np.savez(folder.predictions_file, prediction=np.zeros(4), label=label, loss=np.zeros(4))
    with pytest.raises(UserError, match=r"test_predictions\.npz: cannot be read \(its arrays"):
        folder.predictions()


# Places in the directory of a zip file: an unknown way of compression, an encrypted part.
@pytest.mark.parametrize(("place", "value"), [(10, 99), (8, 1)])
def test_damaged_predictions_are_refused(folder, place, value):
    np.savez(folder.predictions_file, prediction=np.ones(4), label=np.ones(4), loss=np.ones(4))
    content = bytearray(folder.predictions_file.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    folder.predictions_file.write_bytes(content)
    with pytest.raises(UserError, match=r"test_predictions\.npz: cannot be read"):
        folder.predictions()


def test_what_a_killed_start_leaves_is_gone_on_with(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "config.json.0a1b.partial").write_text("{")
    (tmp_path / "owner.json").write_text("{}")
    folder.check(tiny_config())
    folder.sweep()
    assert [file.name for file in tmp_path.iterdir()] == ["owner.json"]


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_a_file_where_a_folder_belongs_is_refused_before_training(folder, name):
    (folder.path / name).touch()
    with pytest.raises(UserError, match=f"{name} is not a folder"):
        folder.check(tiny_config())


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("resolved", "mean", [0.1, 0.5, 0.5]), ("config", "seed", 7)],
)
def test_possible_values_that_were_not_written_are_refused(folder, section, field, value):
    record = json.loads(folder.config_file.read_text())
    record[section][field] = value
    folder.config_file.write_text(json.dumps(record))
    with pytest.raises(
        UserError, match=r"config\.json: was changed after it was written"
    ) as caught:
        folder.config()
    assert "pass --config.FIELD=VALUE" in str(caught.value)


def test_a_record_in_another_order_or_layout_is_the_same(folder):
    written = folder.record()
    folder.config_file.write_text(json.dumps(dict(reversed(written.items()))))
    assert folder.record() == written


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_training(tmp_path):
    folder = RunFolder(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    with pytest.raises(UserError, match="is not valid UTF-8; choose another folder"):
        folder.check(tiny_config())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json"])
def test_a_folder_where_a_file_belongs_is_refused_before_training(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is not a file"):
        RunFolder(tmp_path).check(tiny_config())


def test_a_write_that_fails_leaves_the_old_text_and_no_part(tmp_path, monkeypatch):
    file = tmp_path / "file.json"
    write_atomically(file, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert [f.name for f in tmp_path.iterdir()] == ["file.json"]
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("run/config.json", "belongs to the run in"),
        ("link/result.json", "belongs to the run in"),
        ("run/checkpoints/12/meta.json", "belongs to the run in"),
        ("run/evaluation/shift/test-12.json", "belongs to the run in"),
        ("units.json", "belongs to the study in"),
        ("run", "is a folder"),
        ("pipe", "is not a regular file"),
        ("run.failure.json", "would mark a run as failed"),
        ("run/mine.json", ""),
        ("run/evaluation/mine.html", ""),
        ("elsewhere/config.json", ""),
    ],
)
def test_an_output_replaces_no_part_of_a_run_or_study(folder, tmp_path, place, words):
    (tmp_path / "study.json").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(folder.path)
    if not words:
        check_output(tmp_path / place, "--out")
        return
    with pytest.raises(UserError, match=f"--out: {tmp_path / place} {words}"):
        check_output(tmp_path / place, "--out")


@pytest.mark.parametrize("place", ["mount", "link"])
def test_a_folder_that_cannot_be_replaced_is_refused_at_the_start(tmp_path, monkeypatch, place):
    (tmp_path / "mount").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mount")
    check_free(tmp_path / place, "--out")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "mount")
        with pytest.raises(UserError, match=f"--out: .*{place} is the current folder; give a new"):
            check_free(tmp_path / place, "--out")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path / "mount"))
    with pytest.raises(UserError, match=f"--out: .*{place} is a mount point; give a new folder in"):
        check_free(tmp_path / place, "--out")


@pytest.mark.parametrize(
    "command",
    [
        lambda file: bench.main(["--config=configs/base.py", f"--out={file}"]),
        lambda file: plan.main(["--config=configs/base.py", "--topology=v5e:1x1", f"--out={file}"]),
        lambda file: export(tiny_config(), 7, {}, "own", str(file)),
        lambda file: start.report(["one", "other"], out=str(file)),
    ],
    ids=["bench", "plan", "weights", "report"],
)
def test_commands_write_over_no_run(folder, command):
    before = folder.config_file.read_bytes()
    with pytest.raises(UserError, match=r"config\.json.* belongs to the run"):
        command(folder.config_file)
    assert folder.config_file.read_bytes() == before


def row(step):
    return {"step": step, "split": "train", "name": "loss", "value": 0.5, "time": 1.0}


@pytest.mark.parametrize("place", [0, 3, 9])
@pytest.mark.parametrize(
    "garbage",
    [
        b"{",
        b"\xff\x00\x80",
        b"[1]",
        b"7",
        b'{"step": 1}',
        b"null",
        b"NaN",
        json.dumps(row(1) | {"value": 10**400}).encode(),
    ],
)
def test_garbage_in_the_metrics_costs_no_row(folder, place, garbage):
    lines = [json.dumps(row(step)).encode() for step in range(1, 9)]
    content = b"\n".join([*lines[:place], garbage, *lines[place:]]) + b"\n"
    folder.metrics_file.write_bytes(content)
    assert read_metrics(folder.metrics_file) == [row(step) for step in range(1, 9)]
    log = MetricLog(folder, 6)
    log.write(7, "train", {"loss": 0.25})
    log.close()
    assert f"line {min(place, 8) + 1}" in log.remark
    assert (folder.path / "metrics.jsonl.damaged").read_bytes() == content
    steps = [r["step"] for r in read_metrics(folder.metrics_file)]
    assert steps == [1, 2, 3, 4, 5, 6, 7]


def test_half_a_row_that_a_kill_leaves_is_no_damage(folder):
    folder.metrics_file.write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2))[:20])
    log = MetricLog(folder, 1)
    log.close()
    assert log.remark == ""
    assert read_metrics(folder.metrics_file) == [row(1)]


def test_a_full_disk_leaves_whole_rows(folder):
    log = MetricLog(folder, 0)
    log.write(1, "train", {"loss": 0.5})
    before = folder.metrics_file.read_bytes()

    class Full:
        """A file on a disk that has room for ten more bytes."""

        def __init__(self, file):
            self._file = file
            self.fileno, self.close = file.fileno, file.close

        def write(self, text):
            return self._file.write(text[:10])

    log._file = Full(log._file)
    with pytest.raises(UserError, match="No space left on device"):
        log.write(2, "train", {"loss": 0.4})
    log.close()
    assert folder.metrics_file.read_bytes() == before
