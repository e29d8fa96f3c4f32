"""One step of training as a function of tensors on the device alone, and its replay as a CUDA graph.

Which batch, learning rate, KL weight and noise a step takes is read from tensors that are filled once an epoch; what
its losses add up to stays on the device and is read once an epoch. So nothing in a step waits for the host, and a GPU
can replay it whole: 0.3 ms of kernels are not kept waiting for the 6 ms that launching them one by one takes.
"""

import gc
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.training.batches import Pixels
from trainables.training.optimization import learning_rate, trained_module
from trainables.training.process_group import World
from trainables.training.rates import Drawn
from vae_models import VAE, elbo
from vae_models.elbo import Loss
from vae_models.priors import kl_per_latent

_STAGED = 4  # batches of a set that is not on the device, which wait in the host's memory for their copies
_idle: list[torch.cuda.Stream] = []
"""Of runs that have ended. torch has 32 and then deals them out again, but a graph that goes takes its stream's
workspace along, which must be no other's."""

_WARM_UP = 3  # steps before a capture: libraries allocate and choose in them what a graph must not


class Step:
    """The step of one run: ``batch`` images of all ranks, ``steps`` of them an epoch. A process that has a GPU to
    itself captures it; on a CPU, and in a group of processes, it is called as it is."""

    def __init__(
        self, config: TrialConfig, model: VAE, optimizer: torch.optim.Optimizer, train: Pixels, world: World, batch: int
    ) -> None:
        self._config, self._model, self._optimizer, self._train, self._world = config, model, optimizer, train, world
        self._batch, self._steps = batch, len(train) // batch
        self._module = trained_module(config, model, world)
        device = world.device
        share = len(world.share(torch.arange(batch)))
        self._places = torch.zeros(self._steps, share, dtype=torch.long)
        self._input: Tensor | None = None if train.is_on_device else train.buffer(share)
        self._staged: deque[torch.cuda.Event] = deque()
        if train.is_on_device:
            self._places = self._places.to(device)
        self._lrs = torch.zeros(self._steps, dtype=learning_rate(optimizer).dtype, device=device)
        # of a multi-rate network one for each of this rank's images, and what its loss counts
        self._betas = torch.ones(self._steps, share if config.model.multi_rate else 1, device=device)
        self._weights = torch.ones_like(self._betas) if config.model.multi_rate else None
        self._noise = torch.Generator(device)
        self._at = torch.zeros(1, dtype=torch.long, device=device)  # which step of the epoch is next
        # loss, distortion and rate, summed over this rank's images; the gradient's norm, equal on all, over steps
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._grad_norms = torch.zeros((), dtype=torch.float64, device=device)
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda" and world.size == 1:
            self._capture()

    def begin(self, order: Tensor, lrs: list[float], drawn: Drawn, seed: int) -> None:
        """Fill in what the steps of an epoch read: rows of the images in their ``order`` (N,), on the CPU, a learning
        rate for each step, the KL weights, and the seed of the noise."""
        rows = order[: self._steps * self._batch].view(self._steps, self._batch)
        places, put = self._train.places(self._shared(rows)), self._world.put
        self._places.copy_(put(places) if self._train.is_on_device else places)
        self._lrs.copy_(put(torch.tensor(lrs, dtype=self._lrs.dtype)))
        self._betas.copy_(put(self._shared(drawn.betas)))
        if self._weights is not None:
            self._weights.copy_(put(self._shared(drawn.weights)))
        self._noise.manual_seed(seed)
        for total in (self._at, self._sums, self._grad_norms):
            total.zero_()
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._world.device))

    def _shared(self, values: Tensor) -> Tensor:
        """This rank's part of what each step has for each image of its batch, (steps, B); of one for all, the one."""
        return values if values.shape[1] < self._batch else self._world.share(values.T).T

    def advance(self, step: int) -> None:
        """Do the next step of the epoch, or queue it."""
        if self._stream is None or self._graph is None:
            self._feed(step)
            self._compute()
            return
        with torch.cuda.stream(self._stream):
            self._feed(step)
            self._graph.replay()

    def totals(self) -> Tensor:
        """What the epoch's steps have added up to, (4,) float64 on the device: loss, distortion and rate over this
        rank's images; and its share of the gradients' norms over steps, which are equal on all ranks."""
        if self._stream is not None:
            torch.cuda.current_stream(self._world.device).wait_stream(self._stream)
        return torch.cat([self._sums, self._grad_norms.view(1) / self._world.size])

    def _feed(self, step: int) -> None:
        """Bring the images of a set that is too large for the device."""
        if self._input is None:
            return
        if len(self._staged) == _STAGED:
            self._staged.popleft().synchronize()
        self._input.copy_(self._train.staged(self._places[step]), non_blocking=True)
        self._staged.append(torch.cuda.Event(blocking=True))
        self._staged[-1].record()

    def _images(self) -> Tensor:
        """This rank's, (B, C, H, W) in [0, 1]."""
        if self._input is not None:
            x = self._input.float().div_(255)
        else:
            x = self._train.at(self._places.index_select(0, self._at).view(-1))
        if self._config.model.binarise == "dynamic":
            shape = (self._batch, *x.shape[1:])
            x = (self._world.share(torch.rand(shape, generator=self._noise, device=x.device)) < x).float()
        return x

    def _loss(self) -> Loss:
        """Of each of this rank's images."""
        x, config, likelihood = self._images(), self._config, self._model.likelihood
        shape = (self._batch, config.importance_samples, config.model.latent_dim)
        noise = torch.randn(shape, generator=self._noise, device=self._world.device)
        noise = self._world.share(noise).transpose(0, 1)
        noise = noise if config.importance_samples > 1 else noise[0]
        beta = self._betas.index_select(0, self._at).view(-1)
        given = () if self._weights is None else (beta,)
        with torch.autocast(self._world.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            passed = self._module(x, noise, *given)
        if config.importance_samples > 1:
            return elbo.importance_weighted(passed, noise, x, likelihood)
        losses = elbo.loss(passed, noise, x, likelihood, beta)
        if config.free_bits:
            kl = kl_per_latent(passed.posterior)
            # of the whole batch, whoever has which part of it: a latent is free on all ranks, or on none
            mean = self._world.sum(kl.detach().sum(0)) / self._batch
            free = elbo.free_rate(kl, mean, config.free_bits)
            losses = losses._replace(total=losses.distortion + beta * free)
        return losses

    def _compute(self) -> None:
        losses = self._loss()
        total, distortion, nats = (part.sum() for part in losses)
        self._sums += torch.stack([total, distortion, nats]).detach()
        if self._weights is not None:
            total = losses.total @ self._weights.index_select(0, self._at).view(-1)
        self._optimizer.zero_grad(set_to_none=True)
        # the scalar whose gradient, averaged over ranks as DDP does, is that of the global batch's mean
        (total * (self._world.size / (self._batch * self._config.model.dimensions))).backward()
        self._grad_norms += nn.utils.clip_grad_norm_(self._model.parameters(), self._config.grad_clip)
        learning_rate(self._optimizer).copy_(self._lrs.index_select(0, self._at).view(()))
        self._optimizer.step()
        self._at += 1

    def _capture(self) -> None:
        """Record the step as a graph, on a stream of its own. It leaves weights and moments as they are: what the
        warm-up changed is put back into the same tensors, as the graph knows no others."""
        self._stream = _idle.pop() if _idle else torch.cuda.Stream(self._world.device)
        weakref.finalize(self, _idle.append, self._stream)
        # parameters, and what a likelihood keeps beside them
        weights = [(each, each.clone()) for each in self._model.state_dict().values()]
        moments = [(each, each.clone()) for state in self._optimizer.state.values() for each in state.values()]
        self._stream.wait_stream(torch.cuda.current_stream(self._world.device))
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                self._at.zero_()
                self._compute()
            self._optimizer.zero_grad(set_to_none=True)  # the graph's gradients lie in its own memory
            with torch.no_grad():
                for state in self._optimizer.state.values() if not moments else ():
                    for moment in state.values():
                        moment.zero_()  # as they begin
                for tensor, before in weights + moments:
                    tensor.copy_(before)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._noise)
        # other threads write checkpoints meanwhile, and may ask the device for what a capture forbids
        captured = torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
        with _uncollected(), captured:
            self._compute()
        self._graph = graph


@contextmanager
def _uncollected() -> Iterator[None]:
    """Inside, no garbage is collected: what an older graph leaves would be released in the middle of a capture, which
    ends it. An error that memory ran out is told as such, where the end of the capture has another."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__context__, torch.OutOfMemoryError):
            raise error.__context__ from None
        raise
    finally:
        if was_enabled:
            gc.enable()
