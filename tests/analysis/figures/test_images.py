"""Images to show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.model_cases import vae

from analysis.figures.images import decode, decode_prior, varied_rows
from trainables.data.datasets import load_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


def test_codes_are_decoded_in_batches_as_they_are_at_once() -> None:
    model, z = vae(3), np.random.default_rng(0).standard_normal((1201, 3))
    with torch.no_grad():
        at_once = model.decode(torch.from_numpy(z).float()).numpy()
    np.testing.assert_allclose(decode(model, z), at_once, atol=1e-6)
    assert decode(model, z[:0]).shape == (0, 1, 16, 16)


def test_samples_are_of_the_prior_that_a_model_has() -> None:
    noise = np.random.default_rng(0).standard_normal((5, 3))
    normal, vamp = vae(3), vae(3, width=4, prior="vamp", pseudo_inputs=4)
    np.testing.assert_array_equal(decode_prior(normal, noise), decode(normal, noise))
    np.testing.assert_allclose(decode_prior(vamp, noise), vamp.sample(5, 0).detach().numpy(), atol=1e-6)


def test_rows_are_varied() -> None:
    digits = load_dataset("digits")
    assert sorted(digits.test.labels[varied_rows(digits.test.labels, 10)]) == list(range(10))
    assert len(varied_rows(np.array([0, 0, 1]), 10)) == 3
