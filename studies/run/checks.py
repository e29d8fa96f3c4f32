"""What a study's command looks at before it begins anything, and what it foresees. Nothing is written or started."""

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from analysis.reading.ledger import read_ledger
from analysis.reading.validation import read_question
from cluster.access import refuse_lost_token, refuse_vanishing, temporary_root
from cluster.connect import check_cluster, connected
from cluster.plan import Node, here, nodes, plan_slots
from studies.record.ledger import Trials, check_storage
from studies.record.study_folder import StudyFolder
from studies.run.options import Options, Resources
from studies.run.retraining import next_finals, next_repeats
from studies.search.lifecycle import trials_left
from studies.search.sinks import check_mlflow
from studies.study import Study
from trainables.console import unwritable
from trainables.data.datasets import MissingDataError, load_dataset, training_images
from trainables.errors import DamagedError, UserError
from trainables.machine import refuse_small_limits, warn_of_tight_limits
from trainables.records.storage_urls import storage_url
from trainables.slots.resources import Placement, SlotResources
from trainables.space import extremes
from trainables.text import legible

_CUDA_OF_WINDOWS = Path("/usr/lib/wsl/lib/libcuda.so.1")


def check(study: Study, folder: StudyFolder, options: Options) -> Study:
    """Look at all that can be looked at without a cluster: sampler, data, address or where Ray may write, folder,
    storage, sinks. Returns the study by the folder's definitions and objective. Raises: UserError for what cannot be.
    """
    resources, storage = options.resources, options.storage
    refuse_vanishing(folder.path)
    for option, path in (("--out", folder.path), ("--data-dir", options.data_dir)):
        if path and (legible(str(path)) != str(path) or os.fsencode(path) != str(path).encode()):
            raise UserError(f"{option} must be a path in UTF-8, as databases and Ray write it, got {path}\nuse another")
    try:
        study.check_sampler()
    except ValueError as error:
        raise UserError(f"{error}\nuse another, or --sampler tpe") from error
    images = check_data(study, options)
    check_cluster(resources.address, resources.patience, resources.trusted_network)
    _check_machine(study, options)
    _check_place(folder.path)
    if options.fresh or not folder.layout.question.exists():
        check_pixels(study)
    if not options.fresh:
        folder.layout.refuse_misplaced()
        _check_own_files(folder)
        study = folder.own_definitions(study)
    url = storage.ledger and storage_url(folder.path, storage.ledger)
    folder.check(study, url, storage.checkpoints, images, options.fresh)
    if url:
        check_storage(url)
    if storage.checkpoints:
        from trainables.records.object_store import Mirror  # pyarrow is large

        Mirror(storage.checkpoints, "").check()
    if options.sinks.mlflow is not None:
        check_mlflow(options.sinks.mlflow, study.name)
    if options.fresh or not folder.layout.question.exists():
        check_room(study, resources)
    return study


def check_room(study: Study, resources: Resources) -> None:
    """Raises: UserError for what is known to have no room on this machine, before Ray starts there, if it is to: with a
    GPU that is not known without asking torch, which is slow."""
    if resources.address not in (None, "local"):
        return
    temporary_root()
    refuse_lost_token()
    if not has_gpu():
        _slots(study, resources, here(gpus=0), _known_here(resources), None)


def _check_machine(study: Study, options: Options) -> None:
    """Raises: UserError for what this machine, if it is to train, lacks of what is asked: a GPU whose hours are
    counted, or what torch.compile makes its code with."""
    if options.resources.address not in (None, "local"):
        return
    refuse_small_limits()
    warn_of_tight_limits()
    _check_interfaces()
    if options.budget.gpu_hours is not None and not sees_gpu():
        fault = f"--max-gpu-hours counts hours of GPUs, and this machine has none, got {options.budget.gpu_hours:g}"
        raise UserError(f"{fault}\nuse --max-hours")
    if study.base.compile:
        _check_compiler()


def _check_compiler() -> None:
    """Raises: UserError for what torch.compile lacks here: a compiler, headers, a place for code that is run."""
    way_out = "or leave out --set compile=true"
    compiler, header = os.environ.get("CXX") or "g++", Path(sysconfig.get_path("include")) / "Python.h"
    if lacking := compiler if shutil.which(compiler) is None else header if not header.is_file() else None:
        fault = f"compile needs a C++ compiler and Python's headers, and there is no {lacking}"
        raise UserError(f"{fault}\ninstall g++ and python3-dev, {way_out}")
    code = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()).absolute()
    place = next(folder for folder in (code, *code.parents) if folder.exists())
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        fault = f"compile needs a folder whose files may be run, and the disk of {code} lets none (noexec)"
        raise UserError(f"{fault}\nset TORCHINDUCTOR_CACHE_DIR to a folder on another, {way_out}")


def _check_interfaces() -> None:
    """Raises: UserError where the workers of a trial are to talk by a network interface that is not there."""
    there = psutil.net_if_addrs()
    if lacking := [it for it in os.environ.get("GLOO_SOCKET_IFNAME", "").split(",") if it and it not in there]:
        fault = f"GLOO_SOCKET_IFNAME must name network interfaces of this machine, got {lacking[0]}"
        raise UserError(f"{fault}\nunset it, or use one of {', '.join(there)}")


def check_pixels(study: Study) -> None:
    """Raises: UserError for a new study of a likelihood of binary pixels on grey ones. Older versions made such, which
    go on, are read and reported."""
    searched = study.space.get("model.likelihood")
    likelihoods = extremes(searched) if searched else [study.base.model.likelihood]
    for likelihood in likelihoods:
        if study.base.replace({"model.likelihood": likelihood}).model.reads_grey_as_binary:
            fault = (
                f"model.likelihood {likelihood} is of binary pixels, and those of {study.base.dataset} have 256 levels"
            )
            raise UserError(f"{fault}\nmake them binary: --set model.binarise=dynamic, fixed or threshold")


def check_data(study: Study, options: Options) -> Mapping[str, Any] | None:
    """What the images are known by; None where they are not there, and not to be downloaded now. Raises: UserError now
    for what would fail in every trial."""
    base, workers = study.base, max(options.resources.workers_per_trial, options.resources.final_workers)
    try:
        data = load_dataset(base.dataset, options.data_dir, base.image_size, options.may_download)
    except MissingDataError:
        if options.may_download:
            raise
        return None
    batch = min(base.batch_size, len(training_images(study.largest(), options.data_dir).rows))
    if batch < workers:
        raise UserError(
            f"a batch must hold at least 1 image a worker, got {batch} for {workers} workers\n"
            "lower --workers-per-trial and --final-workers, or raise --set batch_size or --limit-train"
        )
    return data.identity


def _check_place(path: Path) -> None:
    """Raises: UserError where a study's folder cannot be made or written."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    # where nothing may be beside it, its lock is within: see `StudyLayout`
    if fault := unwritable(there):
        raise UserError(f"--out must be a folder that can be written, got {path}: {fault}\nuse another --out")


def _check_own_files(folder: StudyFolder) -> None:
    """Raises: UserError for a study's file in it that this user may read, and not write."""
    for file in (folder.layout.ledger, folder.layout.sessions):
        if file.exists() and not os.access(file, os.W_OK):
            fault = f"{file} must be a file that this user may write, to go on with the study"
            raise UserError(f"{fault}\nask its owner for that, or use another --out")


@dataclass(frozen=True)
class Foreseen:
    """What a command would do."""

    study: Study  # by the folder's definitions
    folder: str  # what becomes of it
    is_finished: bool
    slots: int
    slot: SlotResources
    last_slot: SlotResources
    measures_pack: bool  # how many trials a GPU trains in turns is measured first


def foresee(study: Study, folder: StudyFolder, options: Options) -> Foreseen:
    """Check, join the cluster that is asked for, if one is, and look at what it holds. Raises: UserError as `check`,
    and where there is no room."""
    study = check(study, folder, options)
    becomes, is_finished = _becomes(study, folder, options)
    resources, known = options.resources, None if options.fresh else folder.pack
    if resources.address in (None, "local"):
        return Foreseen(study, becomes, is_finished, *_slots(study, resources, here(), _known_here(resources), known))
    with connected(resources.address, resources.patience, resources.trusted_network):
        return Foreseen(study, becomes, is_finished, *_slots(study, resources, nodes(), resources.placement, known))


def _becomes(study: Study, folder: StudyFolder, options: Options) -> tuple[str, bool]:
    """What becomes of the folder, and whether nothing is left to train there."""
    if not folder.layout.question.exists():
        return "new", False
    if options.fresh:
        return f"new; the study there is moved aside, to {folder.path.name}.<time>", False
    try:
        info, question = read_question(folder.layout)
        trials, before = Trials(study, read_ledger(folder.layout, question)), int(info.get("trials", 0))
    except UserError as error:
        raise DamagedError(str(error)) from error
    ended, asked = len(trials.ended()), study.trials
    done = f"{ended} of {asked} trials are done" if ended <= asked else f"{ended} trials are done, {asked} asked for"
    if is_finished(trials, folder):
        return f"finished, {done}: nothing is left to train", True
    if study.trials > before and trials_left(trials):
        return f"extended from {before} trials to {study.trials}, {done}", False
    return f"continued, {done}", False


def is_finished(trials: Trials, folder: StudyFolder) -> bool:
    """Whether nothing of the plan is left to train."""
    return not trials_left(trials) and not next_finals(trials, folder) and not next_repeats(trials, folder)


def _known_here(resources: Resources) -> Placement:
    """The placement, as far as this machine alone is known to have it or not: what Ray finds of its accelerators, it
    says once it runs."""
    asked, is_unknown = resources.placement, ["ray.io/tpu-"] + ["ray.io/accelerator-type"] * has_gpu()
    labels = {key: value for key, value in asked.labels.items() if not key.startswith(tuple(is_unknown))}
    return Placement(None if has_gpu() else asked.accelerator, labels)


def _slots(
    study: Study, resources: Resources, cluster: list[Node], placement: Placement, known: int | None
) -> tuple[int, SlotResources, SlotResources, bool]:
    """How many slots of which size for the search, and the one of the final trainings; and whether a pack is measured
    first, unless it is ``known``."""
    is_measured = resources.measures_pack(cluster)
    pack = (known if is_measured else resources.asked_pack) or 1
    share, most, workers = resources.gpus_per_worker, resources.max_concurrent, resources.workers_per_trial
    count, slot = plan_slots(cluster, workers, most, share, study.trials, pack, placement)
    last = plan_slots(cluster, resources.final_workers, 1, resources.gpus_per_worker, placement=placement)[1]
    return count, slot, last, is_measured and known is None


def has_gpu() -> bool:
    """Whether this process may see a GPU, without the seconds and the memory that asking torch takes: yes where it does
    not see one after all, as a driver may be broken. Windows gives its own graphics to Linux, of every maker."""
    built, shared = version("torch"), Path("/dev/dxg").exists()
    if "rocm" in built:
        is_there = shared or Path("/dev/kfd").exists()
    else:
        is_there = Path("/dev/nvidiactl").exists() or (shared and _CUDA_OF_WINDOWS.exists())
    return is_there and "+cpu" not in built and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1", "NoDevFiles")


def sees_gpu() -> bool:
    """Whether torch does see one; it is asked where there may be one."""
    return has_gpu() and any(node.gpus for node in here())
