"""Every command has help that shows an example with options and files that there are."""

import importlib
import re
import shlex

import pytest

from cnn.__main__ import COMMANDS, OTHERS
from tests.conftest import REPOSITORY

MODULES = {name: f"cnn.commands.{name}" for name in COMMANDS}
for name in OTHERS:
    package = (REPOSITORY / "cnn" / name.replace(".", "/")).is_dir()
    MODULES[name] = f"cnn.{name}.__main__" if package else f"cnn.{name}"
# Their help is that of the commands below them.
BELOW = {"weights": ("import", "export")}
CASES = [(name, *own) for name in MODULES for own in ([(w,) for w in BELOW.get(name, ())] or [()])]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_help_shows_an_example(case, capsys):
    name, *below = case
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(MODULES[name]).main([*below, "--help"])
    assert ended.value.code == 0
    # Lines are broken to the width of the terminal.
    text = capsys.readouterr().out.replace("\n", " ")
    example = re.search(r"examples?: (python .*)", text)
    assert example, text
    words = shlex.split(example[1].partition(";")[0])
    program = words[1:3] if words[1] == "-m" else words[1:2]
    assert program[-1] in (f"{name}.py", f"cnn.{name}")
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    for option in options:
        assert option in text[: example.start()] or option.startswith("--config."), option
    for file in re.findall(r"--config=(\S+)", example[1]):
        assert (REPOSITORY / file).is_file(), file


def test_the_list_of_commands_is_whole():
    found = {
        ".".join(file.relative_to(REPOSITORY / "cnn").parent.parts)
        for file in (REPOSITORY / "cnn").rglob("__main__.py")
    }
    assert found - {""} <= set(OTHERS)
