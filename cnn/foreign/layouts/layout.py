"""Layouts: the names and forms of a library's tensors, and the settings they require."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import numpy as np

from cnn.config.errors import UserError, did_you_mean
from cnn.config.registry import Registry
from cnn.foreign.readers.weights_file import Tensors
from cnn.foreign.tensor_form import Shape, TensorForm, kernel_outputs_first, same

# A path of ours, such as ("params", "stem", "conv1", "conv", "kernel"), and the tensor's shape.
Path = tuple[str, ...]
Shapes = Mapping[Path, Shape]


@dataclass(frozen=True)
class NamePair:
    """A module or parameter here, and its name in the other library.

    Attributes:
      ours: path without the collection and without the level `block`.
      theirs: name there, without that of the tensor if it is a module.
      form: of its kernel, or of the parameter; None: as the dialect has it.
      bias_of: of a norm: the convolution before it whose bias its running mean takes in, as ours
        have none there.
      inputs: for each channel of the kernel's input here the index there; (): the same order.
      outputs: likewise, of the output.
    """

    ours: str
    theirs: str
    form: Callable[[Shape], TensorForm] | None = None
    bias_of: str = ""
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How a library names a module's tensors and orders a kernel's axes.

    Attributes:
      separator: between module and tensor.
      names: of our leaves there.
      norm_bias: of the bias of a norm.
      kernel: form of a kernel.
    """

    separator: str
    names: Mapping[str, str]
    norm_bias: str
    kernel: Callable[[Shape], TensorForm]


TORCH = Dialect(
    ".",
    {
        "kernel": "weight",
        "bias": "bias",
        "scale": "weight",
        "mean": "running_mean",
        "var": "running_var",
    },
    "bias",
    kernel_outputs_first,
)
KERAS = Dialect(
    "/",
    {
        "kernel": "kernel",
        "bias": "bias",
        "scale": "gamma",
        "mean": "moving_mean",
        "var": "moving_variance",
    },
    "beta",
    same,
)


@dataclass(frozen=True)
class Leaf:
    """One of our tensors, and where it comes from.

    Attributes:
      ours: its path.
      theirs: name there.
      form: from theirs to ours.
      minus: tensor there that is subtracted, or "".
    """

    ours: Path
    theirs: str
    form: TensorForm
    minus: str = ""

    @property
    def name(self) -> str:
        """Our path as messages write it."""
        return "/".join(self.ours)

    def bring(self, tensors: Tensors) -> np.ndarray:
        """Returns the tensor as it is here, float32."""
        x = self.form.bring(tensors[self.theirs].astype(np.float32))
        return x - tensors[self.minus].astype(np.float32) if self.minus else x


NamePairs = Callable[[nn.Module], Iterable[NamePair]]


@dataclass(frozen=True)
class Counterpart:
    """A network of ours in another library.

    Attributes:
      name: there.
      sites: of the network.
      fields: of the config that make ours compute the same, and see the same input.
      notes: remarks for the user, one sentence each.
    """

    name: str
    sites: NamePairs
    fields: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A library or a repository, as its weights files show it.

    Attributes:
      about: what it is, with its address.
      dialect: of its names.
      networks: by our name of the network.
      unused: suffixes of names that evaluation does not need.
      exports: whether weights are written in it, too.
      renames: (regular expression, replacement) of names as older files have them.
    """

    about: str
    dialect: Dialect
    networks: Mapping[str, Counterpart]
    unused: tuple[str, ...] = ()
    exports: bool = False
    renames: tuple[tuple[str, str], ...] = ()

    def renamed(self, tensors: Tensors) -> Tensors:
        """Returns the tensors of a file by current names."""
        for pattern, replacement in self.renames:
            tensors = {re.sub(pattern, replacement, name): t for name, t in tensors.items()}
        return tensors

    def counterpart(self, name: str, field_name: str = "--layout") -> Counterpart:
        """Returns the network of that name of ours.

        Raises:
          UserError: the layout has none.
        """
        if name not in self.networks:
            raise UserError(
                f"{field_name}: it has no counterpart for '{name}': "
                f"{did_you_mean(name, self.networks)}"
            )
        return self.networks[name]

    def leaves(self, name: str, network: nn.Module, shapes: Shapes) -> list[Leaf]:
        """Returns where each of our tensors comes from.

        Raises:
          UserError: the layout has no name for one, such as the parameters of an operator.
        """
        sites = {site.ours: site for site in self.counterpart(name).sites(network)}
        return [self._leaf(sites, path, shapes) for path in shapes]

    def _leaf(self, sites: Mapping[str, NamePair], path: Path, shapes: Shapes) -> Leaf:
        shape, dialect = shapes[path], self.dialect
        levels = [level for level in path[1:] if level != "block"]
        module, last = "/".join(levels[:-1]), levels[-1]
        whole = sites.get(f"{module}/{last}")
        if whole:
            return Leaf(path, whole.theirs, (whole.form or same)(shape))
        site = sites.get(module)
        if site is None:
            raise UserError(
                f"--layout: it has no name for {'/'.join(path)}; remove what adds it, or use "
                "--layout=own"
            )
        form = (site.form or dialect.kernel)(shape) if last == "kernel" else same(shape)
        picks = [(len(shape) - 1, site.outputs)] if site.outputs else []
        if last == "kernel" and site.inputs:
            picks.append((len(shape) - 2, site.inputs))
        join = dialect.separator.join
        of_norm = last == "bias" and (*path[:-1], "scale") in shapes
        name = join((site.theirs, dialect.norm_bias if of_norm else dialect.names[last]))
        folded = site.bias_of if last == "mean" else ""
        minus = join((folded, dialect.names["bias"])) if folded else ""
        return Leaf(path, name, replace(form, picks=tuple(picks)), minus)


@dataclass(frozen=True)
class Own(Layout):
    """Our own paths, for any network."""

    def counterpart(self, name: str, field_name: str = "--layout") -> Counterpart:
        """Returns the network itself: nothing is set for it."""
        return Counterpart(name, lambda network: (), {})

    def leaves(self, name: str, network: nn.Module, shapes: Shapes) -> list[Leaf]:
        """Returns every tensor under its own path."""
        return [Leaf(path, "/".join(path), same(shape)) for path, shape in shapes.items()]


LAYOUTS: Registry[Layout] = Registry("layout")
LAYOUTS.add("own", Own(about="paths of this project", dialect=KERAS, networks={}, exports=True))


def evaluated(
    resized: int = 256, size: int = 224, interpolation: str = "bilinear"
) -> dict[str, Any]:
    """Returns the fields of an evaluation on the centre of resized images.

    Args:
      resized: what the shorter side is resized to.
      size: of the square that is kept.
      interpolation: of the resize, Pillow's.
    """
    return {
        "data.image_size": size,
        "data.crop_ratio": size / resized,
        "data.interpolation": interpolation,
    }


IMAGENET = {
    "data.name": "imagenet2012",
    "data.test_split": "validation",
    **evaluated(),
    "data.channels": 3,
    "data.mean": (0.485, 0.456, 0.406),
    "data.std": (0.229, 0.224, 0.225),
}
CIFAR10 = {
    "data.name": "cifar10",
    "data.mean": (0.4914, 0.4822, 0.4465),
    "data.std": (0.2023, 0.1994, 0.2010),
}
# PyTorch's convolutions pad symmetrically; its momentum 0.1 is our 0.9.
TORCH_MODEL = {"model.padding": "torch", "model.norm_epsilon": 1e-5, "model.norm_momentum": 0.9}
