"""The image sets, by name: found or downloaded, read, split, prepared once per node, mapped into memory."""

from trainables.data.datasets import Dataset, Split, dataset_of, image_shape, load_dataset, training_images

__all__ = ["Dataset", "Split", "dataset_of", "image_shape", "load_dataset", "training_images"]
