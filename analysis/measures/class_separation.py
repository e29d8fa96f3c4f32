"""How well the classes are told apart by the codes. N and M images, Z latents."""

import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.measures.codes import CODE, Metric, Part, Subject, chosen_rows, encode

_PROBE_IMAGES = 10_000  # of training, that the classifiers of codes learn from at most
_NEIGHBOURS = 5
_SILHOUETTE_IMAGES = 2_000


def probe_accuracy(
    train_NZ: np.ndarray, train_labels: np.ndarray, test_MZ: np.ndarray, test_labels: np.ndarray
) -> float:
    """Test accuracy of a logistic regression on standardised posterior means (linear probe, Alain & Bengio
    2016, arXiv:1610.01644); NaN where there is one class to learn."""
    if len(np.unique(train_labels)) < 2:
        return math.nan
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly there measures as well
        probe.fit(train_NZ, train_labels)
    return float(probe.score(test_MZ, test_labels))


def knn_accuracy(train_NZ: np.ndarray, train_labels: np.ndarray, test_MZ: np.ndarray, test_labels: np.ndarray) -> float:
    """Test accuracy of the majority of the 5 nearest training images, by Euclidean distance of posterior
    means; NaN where there is one class to learn, or there are fewer images than neighbours."""
    if len(np.unique(train_labels)) < 2 or len(train_labels) < _NEIGHBOURS:
        return math.nan
    return float(KNeighborsClassifier(_NEIGHBOURS).fit(train_NZ, train_labels).score(test_MZ, test_labels))


def silhouette(mean_NZ: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """The mean silhouette of the classes (Rousseeuw 1987) among posterior means of at most 2,000 images: from
    -1 to 1, 1 where classes are compact and far apart. NaN of one class, and where no two share one."""
    rows = chosen_rows(len(labels), _SILHOUETTE_IMAGES, seed)
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return math.nan
    return float(silhouette_score(mean_NZ[rows], labels[rows]))


def _measured(subject: Subject) -> dict[str, float]:
    train, trained = subject.data.train, subject.data.training_rows()
    rows = trained[chosen_rows(len(trained), _PROBE_IMAGES, subject.seed)]
    learnt = encode(subject.model, train.images[rows]).mean_NZ, train.labels[rows]
    asked = subject.codes.mean_NZ, subject.data.test.labels
    accuracies = {"probe_accuracy": probe_accuracy(*learnt, *asked), "knn_accuracy": knn_accuracy(*learnt, *asked)}
    return accuracies | {"silhouette": silhouette(*asked, subject.seed)}


CLASSES = Part(
    "classes",
    CODE,
    (
        Metric("probe_accuracy", "linear probe accuracy", ".2%", "of test images"),
        Metric("knn_accuracy", f"{_NEIGHBOURS} nearest neighbours' accuracy", ".2%", "of test images"),
        Metric("silhouette", "silhouette of the classes", ".3f", "-1 to 1"),
    ),
    _measured,
)
