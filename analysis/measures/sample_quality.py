"""How near the model's samples come to real images. N real images, M samples, D numbers in an image.

All but the FID is measured between vectors of pixels. That says whether samples have the data's grey levels, spread and
coarse shapes, and not what people see: a shift by a pixel is far, and a blurred image, near to many, counts as precise.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.measures.codes import Metric, Part, Subject, batch_size, batches, device_of
from trainables.errors import UserError, reason_of
from vae_models import VAE

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

_SAMPLES = 2_000  # real images, and as many samples, that pixel-space metrics compare at most
_NUMBERS = 2**28  # in those images at most, which bounds the memory: above 209 x 209 colour pixels they are fewer
_PROJECTIONS = 512
_PRECISION_NEIGHBOURS, _COVERAGE_NEIGHBOURS = 3, 5  # k of precision and recall, of density and coverage: their papers'
_FID_IMAGES = 5_000  # real images, and as many samples, that the FID compares at most: of each, 0.2 CPU seconds
FID_FEATURES, _FID_BATCH = 2048, 50
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # what torch-fidelity calls the file that it downloads


class Distances(NamedTuple):
    """Squared Euclidean distances, float64: of real images to each other, (N, N), of samples to each other, (M, M),
    and of real images to samples, (N, M)."""

    real: Tensor
    fake: Tensor
    cross: Tensor


def sample_quality(subject: Subject) -> dict[str, float]:
    """Prior samples against test images in pixel space: ``mmd sliced_wasserstein precision recall density coverage``,
    each on the same at most 2,000 of either; NaN where the images are too few for it. And the ``fid``, where Inception
    is."""
    model, images, seed = subject.model, subject.data.test.images, subject.seed
    count = max(1, min(_SAMPLES, len(images), _NUMBERS // math.prod(images.shape[1:])))
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    ((_, real),) = batches(model, images, rows, size=count)
    real_ND, fake_MD = real.flatten(1), torch.cat([*prior_samples(model, count, seed)]).flatten(1)
    apart = distances(real_ND, fake_MD)
    found = {"mmd": mmd(apart), "sliced_wasserstein": sliced_wasserstein(real_ND, fake_MD, seed)}
    found["precision"], found["recall"] = precision_recall(apart)
    found["density"], found["coverage"] = density_coverage(apart)
    return found if subject.inception is None else found | {"fid": fid(model, images, subject.inception, seed)}


@torch.no_grad()
def prior_samples(model: VAE, count: int, seed: int = 0, size: int | None = None) -> Iterator[Tensor]:
    """``model.sample(count, seed)`` in batches of ``size``, or of `batch_size`, (B, C, H, W) in [0, 1] on the
    model's device. Of binary pixels these are probabilities, which lie nearer to all binary images than these to each
    other: there the pixels are drawn, too."""
    generator = torch.Generator().manual_seed(seed)
    codes = model.prior().sample(count, generator)
    device = device_of(model)
    for z_BZ in torch.split(codes, size or batch_size(model.config.dimensions, device)):
        image = model.decode(z_BZ.to(device))
        yield torch.bernoulli(image.cpu(), generator=generator).to(device) if model.config.is_binary else image


def distances(real_ND: Tensor, fake_MD: Tensor) -> Distances:
    """All pairs of vectors, (N, D) and (M, D) on one device."""
    real, fake = _squared_distances(real_ND, real_ND), _squared_distances(fake_MD, fake_MD)
    return Distances(real.fill_diagonal_(0), fake.fill_diagonal_(0), _squared_distances(real_ND, fake_MD))


def _squared_distances(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """(N, M) float64."""
    squares = torch.zeros(len(x_ND), len(y_MD), dtype=torch.float64, device=x_ND.device)
    # |x|^2 + |y|^2 - 2 x y cancels: in float64, of which a part of the columns is enough at a time
    for parts in zip(torch.split(x_ND, 4096, 1), torch.split(y_MD, 4096, 1), strict=True):
        x, y = (part.double() for part in parts)
        squares += x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp_(min=0)


def mmd(apart: Distances, bandwidth: float | None = None) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample
    test", JMLR 13, equation 3): 0 on average, and often negative, where both come from one distribution; at most 2.
    The kernel is exp(-|x - y|^2 / (2 bandwidth^2)), by default of the median distance of all pairs (the same,
    section 8). NaN with fewer than two of either, and where all are equal."""
    count, others = apart.cross.shape
    bandwidth = median_distance(apart) if bandwidth is None else bandwidth
    if min(count, others) < 2 or bandwidth == 0:
        return math.nan
    real, fake, cross = ((squares / (-2 * bandwidth**2)).exp().sum().item() for squares in apart)
    # a vector and itself make 1
    within = (real - count) / (count * (count - 1)) + (fake - others) / (others * (others - 1))
    return within - 2 * cross / (count * others)


def median_distance(apart: Distances) -> float:
    """Of all pairs of different members of the two sets taken together."""
    pairs = [squares[torch.ones_like(squares, dtype=torch.bool).triu(1)] for squares in (apart.real, apart.fake)]
    return math.sqrt(torch.cat([*pairs, apart.cross.flatten()]).median().item())


def sliced_wasserstein(real_ND: Tensor, fake_ND: Tensor, seed: int = 0) -> float:
    """The sliced Wasserstein distance of order 2 (Rabin et al. 2011; Bonneel et al. 2015, "Sliced and Radon
    Wasserstein barycenters of measures") of as many vectors as samples: the root of the mean, over random unit
    directions, of the squared W2 of the projections, in the vectors' unit. Of two sets from one distribution it
    is not 0 but the projections' sampling error."""
    draws = torch.randn(real_ND.shape[1], _PROJECTIONS, generator=torch.Generator().manual_seed(seed))
    directions = (draws / draws.norm(dim=0)).to(real_ND)
    ordered = [(vectors @ directions).sort(0).values.double() for vectors in (real_ND, fake_ND)]
    return float((ordered[0] - ordered[1]).square().mean().sqrt())


def precision_recall(apart: Distances, neighbours: int = _PRECISION_NEIGHBOURS) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991, equations 1 and 2): the share of
    samples within some real image's distance to its k-th neighbour among real images, and the share of real images
    within some sample's to its k-th among samples. NaN without k neighbours. Of 2,000 training and 2,000 test
    images, pixels give both near 0.87 on MNIST and 0.50 on CIFAR-10."""
    if min(apart.cross.shape) <= neighbours:
        return math.nan, math.nan
    precise = (apart.cross <= _neighbour(apart.real, neighbours)[:, None]).any(0)
    recalled = (apart.cross <= _neighbour(apart.fake, neighbours)).any(1)
    return precise.double().mean().item(), recalled.double().mean().item()


def density_coverage(apart: Distances, neighbours: int = _COVERAGE_NEIGHBOURS) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, arXiv:2002.09797, section 3): how many balls around real
    images a sample lies in, relative to k, so that samples like the data have 1 on average and crowded ones
    more; and the share of balls with a sample in them. A ball is open and reaches to the k-th neighbour
    among real images. NaN without k neighbours."""
    count, others = apart.cross.shape
    if count <= neighbours:
        return math.nan, math.nan
    inside = apart.cross < _neighbour(apart.real, neighbours)[:, None]
    return inside.sum().item() / (neighbours * others), inside.any(1).double().mean().item()


def _neighbour(squares_NN: Tensor, k: int) -> Tensor:
    """Squared distance of each to its k-th neighbour, itself not counted, (N,)."""
    return squares_NN.kthvalue(k + 1, dim=1).values


def inception_distance(weights: Path | None = None) -> "FrechetInceptionDistance | None":
    """Torchmetrics' FID with its Inception network's weights, read from ``weights`` or from where torch-fidelity
    keeps its download; None where none are given and none lie there whole. Nothing is downloaded. Raises: UserError
    where ``weights`` holds no such thing, or torch-fidelity is not installed."""
    if weights is None:
        with suppress(UserError):
            return inception_distance(Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION)
        return None
    if find_spec("torch_fidelity") is None:
        raise UserError(f"{weights} must be read by torch-fidelity, which is not installed\npip install torch-fidelity")
    try:
        weights.open("rb").close()
    except OSError as error:
        raise UserError(f"{weights} cannot be read: {reason_of(error)}\ngive another file") from error
    try:
        torch.load(weights, "cpu", weights_only=True)  # torch-fidelity itself runs whatever the file says
        from torchmetrics.image.fid import FrechetInceptionDistance

        return FrechetInceptionDistance(FID_FEATURES, feature_extractor_weights_path=str(weights))
    except Exception as error:  # a damaged pickle raises whatever its bytes say
        fault = f"{weights} must hold torch-fidelity's Inception weights, and holds something else, or is damaged"
        raise UserError(f"{fault}\n{INCEPTION} is the file that torch-fidelity downloads") from error


@torch.no_grad()
def fid(model: VAE, images: np.ndarray, metric: "FrechetInceptionDistance", seed: int = 0) -> float:
    """The Fréchet Inception distance (Heusel et al. 2017, arXiv:1706.08500) of at most 5,000 prior samples, rounded
    to 8 bits, to as many real images, (N, C, H, W) uint8. Grey images become colour by repetition. Comparable at the
    same number of images alone. NaN with fewer than two, and for images of neither 1 nor 3 channels."""
    count, channels = min(_FID_IMAGES, len(images)), images.shape[1]
    if count < 2 or channels not in (1, 3):
        return math.nan
    metric = metric.to(device_of(model))
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    parts = np.split(rows, range(_FID_BATCH, count, _FID_BATCH))
    for part, decoded in zip(parts, prior_samples(model, count, seed, _FID_BATCH), strict=True):
        real, fake = torch.from_numpy(images[part]).to(decoded.device), (decoded * 255).round().byte()
        metric.update(real.expand(-1, 3, -1, -1), real=True)
        metric.update(fake.expand(-1, 3, -1, -1), real=False)
    return metric.compute().item()


SAMPLES = Part(
    "samples",
    "Samples from the prior, against test images in pixel space, where blur counts as precise",
    (
        Metric("precision", "precision", ".2%", "samples among images"),
        Metric("recall", "recall", ".2%", "images among samples"),
        Metric("density", "density", ".3f", "about 1 for the data itself"),
        Metric("coverage", "coverage", ".2%", "of images"),
        Metric("mmd", "squared MMD, Gaussian kernel", ".5f", "0 for the data itself"),
        Metric("sliced_wasserstein", "sliced Wasserstein distance", ".4f", "pixels in [0, 1]"),
        Metric("fid", "Fréchet Inception distance", ".2f", "0 for the data itself"),
    ),
    sample_quality,
)
