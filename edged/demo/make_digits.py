"""Makes the demo model: trains on scikit-learn's bundled 8x8 digit scans, quantises, writes both .tflite
files and test scans.

    python -m edged.demo.make_digits [FOLDER]

Needs the extra `edged[demo]` (scikit-learn, for the scans only). Everything is seeded, so it makes the same
network again. The scans: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository (1998), CC BY 4.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edged.demo import FOLDER
from edged.demo.network import Adam, Array, Layer, forward, new_network, train_step
from edged.demo.quantise import float_model, int8_model
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model

SEED, EPOCHS, BATCH = 20261123, 120, 32
MOVED = 0.3
SHIPPED_SCANS = 50


def scans() -> tuple[Array, Array, Array, Array]:
    """(train images, train labels, test images, test labels); images (N, 8, 8, 1) in 0..1, one fifth held
    out."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images[..., None] / 16.0
    order = np.random.default_rng(SEED).permutation(len(images))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    return images[train], digits.target[train], images[test], digits.target[test]


def shifted(images: Array, rng: np.random.Generator) -> Array:
    """A share of the images moved by up to one pixel each way: what makes 1,400 scans enough."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moves = rng.integers(0, 3, (len(images), 2))
    moves[rng.random(len(images)) > MOVED] = 1
    return np.stack([p[r : r + 8, c : c + 8] for p, (r, c) in zip(padded, moves, strict=True)])


def train(images: Array, labels: Array) -> list[Layer]:
    """The trained network."""
    rng = np.random.default_rng(SEED)
    network = new_network(rng)
    adam = Adam(network)
    steps = EPOCHS * (len(images) // BATCH)
    for step in range(steps):
        pick = rng.integers(0, len(images), BATCH)
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
        loss = train_step(network, adam, shifted(images[pick], rng), labels[pick], rate)
        if step % (steps // 6) == 0:
            print(f"step {step}/{steps}: loss {loss:.4f}")
    return network


def accuracy(model: Model, images: Array, labels: Array) -> float:
    """Share of right answers of the model itself, computed by the reference semantics one scan at a time."""
    evaluation, tensor = Evaluation(model), model.main.inputs[0]
    right = 0
    for image, label in zip(images, labels, strict=True):
        value = image[None].astype(np.float32)
        if tensor.quantization is not None and not tensor.dtype.is_float:
            q = np.rint(value / tensor.quantization.scale) + tensor.quantization.zero_point
            value = np.clip(q, -128, 127).astype(np.int8)
        (answer,) = evaluation.run([value]).values()
        right += int(answer.argmax() == label)
    return right / len(images)


def main(folder: Path) -> None:
    images, labels, test_images, test_labels = scans()
    network = train(images, labels)
    shares = [np.abs(out).max() for out in forward(network, images)]
    print("largest activations:", ", ".join(f"{s:.2f}" for s in shares))
    models = {"float": float_model(network), "int8": int8_model(network, images)}
    for kind, model in models.items():
        data = tflite.write(model)
        (folder / f"digits_{kind}.tflite").write_bytes(data)
        share = accuracy(tflite.read(data), test_images, test_labels)
        print(
            f"digits_{kind}.tflite: {len(data)} bytes, {share:.2%} of {len(test_images)} held-out scans right"
        )
    pixels = np.rint(test_images[:SHIPPED_SCANS, :, :, 0] * 16).astype(np.uint8)
    np.savez_compressed(
        folder / "scans.npz", images=pixels, labels=test_labels[:SHIPPED_SCANS].astype(np.uint8)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
