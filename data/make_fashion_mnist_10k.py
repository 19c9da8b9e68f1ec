"""Makes data/fashion_mnist_10k from the whole of Fashion-MNIST.

    python data/make_fashion_mnist_10k.py --source=TFDS_FOLDER [--out=data]

TFDS_FOLDER holds a prepared `fashion_mnist` in the array_record format. The same bytes come out
each time, with the pinned versions of tensorflow-datasets, array-record and opencv.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

NAME, VERSION = "fashion_mnist_10k", "1.0.0"
PER_CLASS = {"train": 1000, "test": 200}
SEED = 20_170_825  # of the choice; the day on which Fashion-MNIST was published
STRATEGIES = (
    cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    cv2.IMWRITE_PNG_STRATEGY_FILTERED,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
)


def choose(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Returns the chosen positions: of each class that many, by a fixed random order."""
    order = np.argsort(np.random.Philox(SEED).random_raw(len(labels)), kind="stable")
    chosen = [order[labels[order] == label][:per_class] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def smallest_png(encoded: bytes) -> bytes:
    """Encodes a grey image again, without loss, as small as OpenCV can."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    options = [
        [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, strategy]
        for strategy in STRATEGIES
    ]
    return min((cv2.imencode(".png", image, o)[1].tobytes() for o in options), key=len)


def make_builder(source: tfds.core.DatasetBuilder, folder: Path) -> tfds.core.DatasetBuilder:
    """Returns the builder of the subset; it cannot be registered, as its name would be taken."""
    with tfds.core.registered.skip_registration():

        class FashionMnist10k(tfds.core.GeneratorBasedBuilder):
            """A class-balanced subset of Fashion-MNIST."""

            name = NAME
            VERSION = tfds.core.Version(VERSION)

            def _info(self) -> tfds.core.DatasetInfo:
                return tfds.core.DatasetInfo(
                    builder=self,
                    description="1,000 training and 200 test images of each class of "
                    "Fashion-MNIST, chosen at random with a fixed seed.",
                    features=tfds.features.FeaturesDict(
                        {
                            "image": tfds.features.Image(shape=(28, 28, 1)),
                            "label": tfds.features.ClassLabel(
                                names=source.info.features["label"].names
                            ),
                        }
                    ),
                    supervised_keys=("image", "label"),
                    homepage="https://github.com/zalandoresearch/fashion-mnist",
                    citation=source.info.citation,
                    license="MIT",
                )

            def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
                return {split: self._generate_examples(split) for split in PER_CLASS}

            def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
                decoders = {"image": tfds.decode.SkipDecoding()}
                examples = source.as_data_source(split, decoders=decoders)
                labels = np.array([example["label"] for example in examples])
                for position in choose(labels, PER_CLASS[split]).tolist():
                    image = smallest_png(examples[position]["image"])
                    yield position, {"image": image, "label": int(labels[position])}

        return FashionMnist10k(data_dir=folder, file_format="array_record")


def sort_records(folder: Path) -> None:
    """Writes the records again with their features in order; tfds leaves that order to chance."""
    for path in sorted(folder.glob("*.array_record*")):
        reader = array_record_module.ArrayRecordReader(str(path))
        records = reader.read_all()
        reader.close()
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for record in records:
            example = tf_example_pb2.Example.FromString(record)
            writer.write(example.SerializeToString(deterministic=True))
        writer.close()


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS, in the format of sha256sum, for every file of the version."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted((folder / VERSION).iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    """Makes the subset."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", default=None, help="folder of prepared TFDS data sets")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    source = tfds.builder("fashion_mnist", data_dir=arguments.source)
    tfds.disable_progress_bar()
    make_builder(source, arguments.out).download_and_prepare()
    sort_records(arguments.out / NAME / VERSION)
    write_checksums(arguments.out / NAME)


if __name__ == "__main__":
    main()
