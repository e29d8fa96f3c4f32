"""How near the decoded posterior means come to the images. N images of C x H x W."""

import math
from typing import cast

import torch
from torch import Tensor

from analysis.measures.codes import Metric, Part, Subject, batches, chosen_rows, posteriors

_IMAGES = 2_000  # at most: windows of 11 pixels are a CPU's work
_SSIM_SIDE = 6  # of the smallest image that the SSIM's window of 11 pixels can be reflected into
_LARGEST_PSNR = 100.0  # dB; of an image that is hit to the last bit, which would be infinite


@torch.no_grad()
def reconstruction_quality(subject: Subject) -> dict[str, float]:
    """``psnr_db`` and ``ssim`` of what the decoder makes of the posterior means of at most 2,000 test images,
    each the mean over images. The SSIM is Wang et al.'s (2004, "Image quality assessment", IEEE TIP 13) with a
    Gaussian window of 11 pixels, images reflected at their edges; below 6 pixels a side it is NaN. Both are of grey
    levels: NaN of binary images, whose reconstructions are probabilities."""
    if subject.model.config.is_binary:
        return {"psnr_db": math.nan, "ssim": math.nan}
    # here, where it is needed: the import takes seconds
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    images, found = subject.data.test.images, []
    chosen = chosen_rows(len(images), _IMAGES, subject.seed)
    for rows, x in batches(subject.model, images, chosen):
        image = subject.model.decode(posteriors(subject.codes, chosen[rows], x.device).mean)
        psnr = peak_signal_noise_ratio(image, x, data_range=1.0, reduction="none", dim=(1, 2, 3))
        ssim = torch.full_like(psnr, math.nan)
        if min(x.shape[2:]) >= _SSIM_SIDE:
            ssim = cast(Tensor, structural_similarity_index_measure(image, x, data_range=1.0, reduction="none"))
        found.append(torch.stack([psnr.clamp(max=_LARGEST_PSNR), ssim]).double())
    psnr_db, similarity = torch.cat(found, 1).mean(1).tolist()
    return {"psnr_db": psnr_db, "ssim": similarity}


RECONSTRUCTIONS = Part(
    "reconstructions",
    "Reconstructions",
    (
        Metric("mse", "mean squared error, sampled codes", ".5f", "pixels in [0, 1]"),  # of the trade-off's part
        Metric("psnr_db", "peak signal-to-noise ratio", ".2f", "dB"),
        Metric("ssim", "structural similarity", ".4f", "at most 1"),
    ),
    reconstruction_quality,
)
