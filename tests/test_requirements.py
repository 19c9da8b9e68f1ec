"""The lock holds what the constraints pin, whole and with hashes, for every Python version."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY


def requirements(text):
    """Returns the requirements of a file: names, versions and markers."""
    lines = [line.split("\\")[0].split(" --hash")[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if re.match(r"[A-Za-z]", line)]


def pinned(file, version):
    """Returns name -> version that a file pins for a Python version on Linux."""
    found = requirements((REPOSITORY / "requirements" / file).read_text())
    where = {"python_version": version, "python_full_version": f"{version}.0"}
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    where |= linux | {"platform_python_implementation": "CPython"}
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate(where)
    }


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_lock_matches_the_constraints(version):
    locked, constrained = pinned("cpu.lock", version), pinned("constraints.txt", version)
    assert locked == {name: constrained.get(name) for name in locked}
    wanted = requirements((REPOSITORY / "requirements.txt").read_text())
    assert {canonicalize_name(one.name) for one in wanted} <= locked.keys()


def test_every_file_of_the_lock_has_a_hash():
    text = (REPOSITORY / "requirements" / "cpu.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert len(entries) > 50
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}(\s|$)", entry), entry
