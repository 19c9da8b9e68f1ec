"""Python files of a user: configs, studies and plugins."""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cnn.config.errors import UserError, nearest

REPOSITORY = Path(__file__).parents[2]


def find_file(file: str, flag: str, others: Iterable[Path] = (), beside: str = "") -> str:
    """Returns the path of a file, given from here, from another's package or from the repository.

    Args:
      file: as it was given.
      flag: that gave it, for messages.
      others: files that may have been meant.
      beside: another file, such as the study that names a config.

    Raises:
      UserError: there is no such file.
    """
    if Path(file).is_file():
        return file
    # A study says "configs/x.py", wherever it is run from.
    for root in (package_root(beside), REPOSITORY) if beside else ():
        if (found := root / file).is_file():
            return str(found)
    near = nearest(file, [str(other) for other in others])
    hint = f"did you mean '{near}'?" if near else "give its path from there, or in full"
    raise UserError(f"{flag}: there is no file '{file}' in {Path.cwd()}; {hint}")


def package_root(file: str) -> Path:
    """Returns the folder from which a file's packages are imported."""
    folder = Path(file).absolute().parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def import_file(file: str, name: str) -> ModuleType:
    """Runs a file as a module, which may import its neighbours."""
    if (root := str(package_root(file))) not in sys.path:
        sys.path.append(root)
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def explain(error: Exception) -> str:
    """Returns the type of an exception and the first line of its message."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


@contextmanager
def user_errors(file: str, explain: Callable[[Exception], str] = explain) -> Iterator[None]:
    """Turns an error inside a file, or its `sys.exit`, into one sentence with its line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).name == Path(file).name]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
        quits = isinstance(error, SystemExit)
        what = "calls sys.exit; raise an error instead" if quits else explain(error)
        raise UserError(f"{file}, line {line}: {what}") from error
