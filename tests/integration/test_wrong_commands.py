"""Commands that ask for what cannot be: each is told in two lines, before anything is begun, and exits with 2."""

from __future__ import annotations

import errno
import importlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.study_cases import synthetic

from studies.command_line.command import main
from vae_models import ModelConfig

LONG = "n" * 300
LIBRARIES = r"Traceback|pydantic|Input should|Value error|Usage:|Invalid value|validation error|RAY_TRAIN|\w+Error\b"
"""Words that are not ours."""

PROGRAMS = {"digits": "studies.digits_vae", "main": "main"}
WRONG = {
    "digits": [
        # numbers
        ("--trials 0", "--trials must be at least 1, got 0"),
        ("--trials -5", "--trials must be at least 1, got -5"),
        ("--trials 1.5", "--trials must be a whole number, got '1.5'"),
        ("--trials many", "--trials must be a whole number, got 'many'"),
        ("--trials ''", "--trials must be a whole number, got ''"),
        ("--trials 99999999999999999999", "--trials must be at most 100,000, got 99,999,999,999,999,999,999"),
        ("--trials ٣", "--trials must be a whole number, got '٣'"),
        ("--epochs 0", "--epochs must be at least 1, got 0"),
        ("--epochs 1000001", "--epochs must be at most 1,000,000, got 1000001"),
        ("--final-epochs 99999999999", "--final-epochs must be at most 1,000,000, got 99,999,999,999"),
        ("--limit-train 99999999999", "--limit-train must be below 2,147,483,648, got 99999999999"),
        ("--epochs nan", "--epochs must be a whole number, got 'nan'"),
        ("--limit-train 1", "--limit-train must be at least 2, got 1"),
        ("--limit-val=-1", "--limit-val must be at least 2, got -1"),
        ("--seed -1", "--seed must be at least 0, got -1"),
        ("--seed 99999999999", "--seed must be below 2,147,483,648, got 99999999999"),
        ("--seeds 100", "--seeds must be at most 99, got 100"),
        ("--final -1", "--final must be at least 0, got -1"),
        ("--final 3 --final-epochs 0", "--final must be 0 where --final-epochs is 0, got 3"),
        ("--final 5 --trials 4", "--final must be at most --trials, 4, got 5"),
        ("--final-epochs -2", "--final-epochs must be at least 0, got -2"),
        ("--prune 1", "--prune must be a quantile from 0 to below 1, got 1.0"),
        ("--prune nan", "--prune must be a quantile from 0 to below 1, got nan"),
        ("--prune much", "--prune must be a number, got 'much'"),
        ("--patience 0", "--patience must be from 1 to 86,400 seconds, got 0.0"),
        ("--max-hours nan", "--max-hours must be above 0 and below 1,000,000, got nan"),
        ("--max-gpu-hours x", "--max-gpu-hours must be a number, got 'x'"),
        ("--max-concurrent -1", "--max-concurrent must be at least 1, got -1"),
        ("--workers-per-trial 0", "--workers-per-trial must be at least 1, got 0"),
        ("--gpus-per-worker nan", "--gpus-per-worker must be at least 0, got nan"),
        ("--trials-per-gpu 0", "--trials-per-gpu must be auto or from 1 to 32, got '0'"),
        ("--trials-per-gpu few", "--trials-per-gpu must be auto or from 1 to 32, got 'few'"),
        ("--pack 33", "--pack must be auto or from 1 to 32, got '33'"),
        # names
        ("--objective speed", "--objective must be one of rate_distortion, bits_per_dim, got 'speed'"),
        ("--sampler ''", "--sampler must be one of tpe, gp, random, got ''"),
        ("--where val_rate", "--where must be METRIC<=NUMBER or METRIC>=NUMBER, got 'val_rate'"),
        ("--where 'val_größe<=20'", "--where must name one of val_bits_per_dim"),
        ("--where 'val_rate<20'", "--where must be METRIC<=NUMBER"),
        ("--where 'train_rate<=20'", "--where must name one of val_bits_per_dim"),
        ("--where 'val_rate<=20 bits'", "--where must give val_rate in nats per image, got 'bits'"),
        ("--where 'val_mse<=0'", "--where must have a limit above 0"),
        ("--where 'val_mse<=nan'", "--where must be METRIC<=NUMBER"),
        ("--where 'val_mse<=1e999'", "--where must have a limit above 0"),
        ("--where 'val_rate<=1_0'", "--where must be METRIC<=NUMBER or METRIC>=NUMBER, got 'val_rate<=1_0'"),
        ("--where 'val_rate<=0x10'", "--where must be METRIC<=NUMBER or METRIC>=NUMBER, got 'val_rate<=0x10'"),
        ("--where 'val_rate<=٣'", "--where must be METRIC<=NUMBER or METRIC>=NUMBER, got 'val_rate<=٣'"),
        ("--where 'val_mse<=1.2.3'", "--where must have a limit above 0"),
        ("--label x", "--label must be KEY=VALUE, each key once, got 'x'"),
        ("--accelerator ''", "--accelerator must be a type of accelerator, got ''"),
        ("--no-such-option", "there is no option --no-such-option"),
        ("--trails 3", "there is no option --trails"),
        ("-x", "there is no option -x"),
        ("-- --trials 3", "there is no place for '--trials 3'"),
        ("foo", "there is no place for 'foo'"),
        ("''", "there is no place for ''"),
        ("--trials", "--trials must have a value"),
        ("--dry-run=3", "--dry-run must have no value"),
        # what contradicts itself
        ("--where 'val_rate<=20' --where 'val_rate>=30'", "--where must leave room, got val_rate>=30 and val_rate<=20"),
        ("--pack 2 --workers-per-trial 2", "--pack must be 1 where a trial has several workers, got 2"),
        ("--epochs 4 --set epochs=3", "--epochs must be given once, got 4, and 3 by --set"),
        ("--set lr=1 --set lr=2", "--set lr must be given once, got 1, and 2"),
        ("--label a=b --label a=c", "--label must be KEY=VALUE, each key once, got 'a=c'"),
        ("--storage sqlite:///a --storage sqlite:///b", "--storage must name one database and one object store"),
        ("--set batch_size=1 --final-workers 2", "a batch must hold at least 1 image a worker, got 1 for 2 workers"),
        # what there is no room for on this machine
        ("--workers-per-trial 60 --dry-run", "1 trial(s) at once of 60 worker(s) need room for 60 workers"),
        ("--final-workers 60 --dry-run", "1 trial(s) at once of 60 worker(s) need room for 60 workers"),
        ("--max-concurrent 99 --dry-run", "99 trial(s) at once of 1 worker(s) need room for 99 workers"),
        ("--gpus-per-worker 1 --dry-run", "--gpus-per-worker must find a GPU, got 1 node(s) without one"),
        ("--gpus-per-worker 0.5 --dry-run", "--gpus-per-worker must find a GPU, got 1 node(s) without one"),
        ("--label a=b --dry-run", "--label a=b must fit a node of the cluster, got 1 without"),
        ("--label ray.io/market-type=spot --dry-run", "--label ray.io/market-type=spot must fit a node of the cluster"),
        ("--label ray.io/accelerator-type=H100 --dry-run", "--label ray.io/accelerator-type=H100 must fit a node"),
        ("--accelerator H100 --dry-run", "--accelerator H100 must fit a node of the cluster, got 1 without"),
        # and a run finds it before it begins, as --dry-run does
        ("--workers-per-trial 60", "1 trial(s) at once of 60 worker(s) need room for 60 workers"),
        ("--max-concurrent 99", "99 trial(s) at once of 1 worker(s) need room for 99 workers"),
        ("--label a=", "--label a= must fit a node of the cluster, got 1 without"),
        ("--label ray.io/node-id=a", "--label ray.io/node-id=a must fit a node of the cluster, got 1 without"),
        ("--accelerator H100", "--accelerator H100 must fit a node of the cluster, got 1 without"),
        ("--accelerator H100 --label a=b", "--accelerator H100 --label a=b must fit a node of the cluster, got 1"),
        # fields
        ("--multi-rate --objective bits_per_dim", "--objective must be left out with --multi-rate, got bits_per_dim"),
        ("--multi-rate --set beta=2", "--set beta must be 1 with --multi-rate"),
        ("--multi-rate --set kl_warmup=0.5", "--set kl_warmup must be 0 with --multi-rate"),
        ("--multi-rate --set model.beta_range=[3,1]", "--set model.beta_range must be two KL weights from"),
        ("--multi-rate --set model.beta_range=[2,2]", "--set model.beta_range must be two KL weights from"),
        ("--multi-rate --set model.beta_range=[0,1]", "--set model.beta_range must be two KL weights from"),
        ("--multi-rate --set model.beta_range=3", "--set model.beta_range must be a list, got 3"),
        ("--multi-rate --set model.likelihood=laplace", "--set model.likelihood must be gaussian with --multi-rate"),
        ("--multi-rate --set model.beta_range=[true,5]", "--set model.beta_range must be a number, got True"),
        ("--multi-rate --set model.beta_range=[1,2,3]", "--set model.beta_range must be a list of at most 2"),
        ("--set model.beta_range=[1,3]", "--set model.beta_range must be left out without"),
        ("--set model.multi_rate=true", "--set must leave model.multi_rate alone, got true"),
        ("--set ''", "--set must be FIELD=VALUE, got ''"),
        ("--set =3", "--set must be FIELD=VALUE, got '=3'"),
        ("--set epochs=x", "--set epochs must be a whole number, got 'x'"),
        ("--set batch_size=99999999999", "--set batch_size must be below 2,147,483,648, got 99999999999"),
        ("--set trials=3", "--set must name a field of the configuration, got 'trials'"),
        ("--set model.detph=1", "--set model.detph is no field of ModelConfig"),
        ("--set model=3", "--set model is no field of TrialConfig"),
        ("--set model.width=7", "--set model.width must be a multiple of 4, got 7"),
        ("--set model.width=16.5", "--set model.width must be a whole number, got 16.5"),
        ("--set model.latent_dim=1e9", "--set model.latent_dim must be at most 65,536, got 1000000000.0"),
        ("--set model.widths=[]", "--set model.widths must be a list of at least 1, got []"),
        ("--set 'model.widths=[\"a\"]'", "--set model.widths must be a whole number, got 'a'"),
        ("--set model.widths=5", "--set model.widths must be a list, got 5"),
        (
            "--set model.architecture=linear --set model.depth=1",
            "--set model.depth must be 0 with --set model.architecture linear",
        ),
        ("--set model.image_shape=[1,8,8]", "--set model.image_shape must be left to the data set"),
        ("--set lr=0", "--set lr must be above 0, got 0"),
        ("--set lr=1e400", "--set lr must be a finite number, got inf"),
        ("--set beta=null", "--set beta must be a number, got None"),
        ("--set beta=true", "--set beta must not be true or false, got true"),
        ("""--set 'beta={"a": 1}'""", "--set beta must be a number, got {'a': 1}"),
        ("--set optimizer=sgd", "--set optimizer must be one of adam, adamw, got 'sgd'"),
        ("--set image_size=36", "--set image_size must be 28 for digits"),
        (
            "--set dataset=imagefolder:/tmp --set image_size=36",
            "--set image_size must have sides that are multiples of 8",
        ),
        ("--set dataset=imagenet", "--set dataset must be one of mnist, "),
        (
            "--set dataset=imagefolder:{odd}/none",
            "--set dataset must name a folder, of class folders or of pictures, got",
        ),
        ("--data-dir '{odd}/lost '", "--data-dir must be a path, got '{odd}/lost ': it begins or ends in a space"),
        ("--set dataset=imagefolder:{odd}/loop", "'{odd}/loop' must be the path of a folder: Too many levels of sym"),
        ("--set dataset=imagefolder:~nobody-here/x", "--set dataset must be in a home that there is"),
        (
            "--set model.likelihood=betabinomial",
            "--set model.likelihood must be one of gaussian, laplace, optimal_gauss",
        ),
        ("--set model.components=0", "--set model.components must be at least 1, got 0"),
        (
            "--set model.components=3",
            "--set model.components must be 5 with likelihood gaussian, which has none, got 3",
        ),
        ("--set model.binarise=fixed", "--set model.likelihood must be bernoulli with --set model.binarise fixed"),
        (
            "--set model.learnt_sigma=chanel",
            "--set model.learnt_sigma must be one of one, channel, pixel, got 'chanel'",
        ),
        ("--set Model.Width=8", "--set Model.Width is no field of TrialConfig"),
        ("--set model.größe=8", "--set model.größe is no field of ModelConfig"),
        # places
        ("--out ' '", "--out must be a path, got ' ': it is empty"),
        ("--out s3://bucket/study", "--out must be a path, got 's3://bucket/study': it is a URL"),
        ("--out 'runs/x\r'", "--out must be a path, got 'runs/x\\r': it begins or ends in a space or a line end"),
        (r"--out 'C:\Users\me\x'", r"--out must be a path, got 'C:\\Users\\me\\x': it is a path of Windows"),
        ("--out {odd}/loop", "--out must be a path, got '{odd}/loop': Too many levels of symbolic links"),
        ("--out {odd}/fifo", "--out must be a folder, got '{odd}/fifo', which is a file"),
        ("--out {odd}/full", "{odd}/full is not empty and holds no study"),
        ("--out {odd}/pipe", "{odd}/pipe is not empty and holds no study"),
        ("--out {odd}/pipe --fresh --dry-run", "{odd}/pipe is not empty and holds no study"),
        ("--data-dir http://host/data", "--data-dir must be a path, got 'http://host/data': it is a URL"),
        ("--storage sqlite:///{odd}/fifo", "--storage must be a database of SQLite, got {odd}/fifo, which is no file"),
        ("--storage sqlite:///{odd}/loop", "--storage must be a database of SQLite, got {odd}/loop, which is no file"),
        ("--storage sqlite:///{odd}", "--storage must be a database of SQLite, got {odd}, which is a folder"),
        ("--storage 'sqlite:///x.db?timeout=y'", "--storage must have a timeout in seconds, got 'y'"),
        ("--mlflow sqlite:///{odd}/fifo", "--mlflow must be a database of SQLite, got {odd}/fifo, which is no file"),
        ("--mlflow sqlite:////etc/passwd", "--mlflow must be a database of SQLite, got /etc/passwd, which is another"),
        ("--mlflow ftp://host", "--mlflow must be a tracking URI, got 'ftp://host'"),
        ("--address 127.0.0.1:0", "--address must be host:port or auto, got '127.0.0.1:0'"),
        ("--address 127.0.0.1:65536", "--address must be host:port or auto, got '127.0.0.1:65536'"),
        ("--address 127.0.0.1:٣", "--address must be host:port or auto, got '127.0.0.1:٣'"),
        ("--address http://127.0.0.1:8265", "--address must be host:port or auto, got 'http://127.0.0.1:8265'"),
        ("--out ''", "--out must be a path, got '': it is empty"),
        ("--out ~nobody-here/x", "--out must be a path, got '~nobody-here/x'"),
        ("--out /etc/passwd", "--out must be a folder, got '/etc/passwd', which is a file"),
        ("--out /etc/passwd/x", "--out must be a folder that can be written, got /etc/passwd/x: Not a directory"),
        ("--out /proc/x", "--out must be a folder that can be written, got /proc/x"),
        (f"--out {LONG}", "--out must be a path, got 'nnn"),
        (f"--out x/{LONG[:225]}", "--out must end in a name of at most 224 bytes, as there are files beside"),
        (f"--out {'ö' * 127} --dry-run", "--out must end in a name of at most 224 bytes"),
        ("--data-dir /etc/passwd", "--data-dir must be a folder, got '/etc/passwd', which is a file"),
        ("--storage ''", "--storage must be a database's URL or an object store's, got ''"),
        ("--storage nonsense", "--storage must be a database's URL, got 'nonsense'"),
        ("--storage foo://x", "--storage cannot be opened: foo://x"),
        ("--storage nonsense://", "--storage cannot be opened: nonsense://"),
        ("--storage sqlite://", "--storage must outlive the command"),
        ("--storage sqlite:////nowhere/x.db", "--storage must be in a folder that can be written, got /nowhere/x.db"),
        ("--storage sqlite:////etc/passwd", "--storage must be a database of SQLite, got /etc/passwd"),
        ("--storage s3://", "--storage must name a bucket, such as s3://bucket/path, got 's3://'"),
        ("--storage s3://key:secret@bucket", "--storage must hold no credentials of an object store"),
        ("--address ''", "--address must be host:port or auto, got ''"),
        ("--address 127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1, as --address says: Connection refused"),
        ("--mlflow http://", "--mlflow must be a tracking URI, got 'http://'"),
        ("--mlflow http://127.0.0.1:1", "--mlflow cannot be reached at http://127.0.0.1:1"),
        ("--mlflow ''", "--mlflow must be a tracking URI, got ''"),
        ("--mlflow sqlite:////nowhere/m.db", "--mlflow must be in a folder that can be written"),
    ],
    "main": [
        ("--model GAN", "--model must be one of VAE, got 'GAN'"),
        ("--datset mnist", "there is no option --datset"),
        (
            "--dataset imagefolder:/nowhere",
            "--dataset must name a folder, of class folders or of pictures, got /nowhere",
        ),
        ("--dataset imagenet", "--dataset must be one of mnist, "),
        ("--latent_dim 0", "--latent_dim must be at least 1, got 0"),
        ("--latent-dim 0", "--latent-dim must be at least 1, got 0"),
        ("--latent_dim 99999999999", "--latent_dim must be at most 65,536, got 99999999999"),
        ("--epochs 99999999999", "--epochs must be at most 1,000,000, got 99999999999"),
        ("--data_dir {odd}/file", "--data_dir must be a folder, got '{odd}/file', which is a file"),
        ("--latent_dim x", "--latent_dim must be a whole number, got 'x'"),
        ("--beta -1", "--beta must be at least 0, got -1.0"),
        ("--multi_rate --beta 2", "--beta must be 1 with --multi_rate, which"),
        ("--multi-rate --beta-range 3 1", "--beta-range must be two KL weights from 0.000001 to 1,000,000"),
        ("--dataset digits --multi_rate --beta_range 1", "--beta_range must have 2 values, with blanks between them"),
        ("--beta_range 1 3", "--beta_range must be left out without --multi_rate, got 1 and 3"),
        ("--beta_range 0.1 10", "--beta_range must be left out without --multi_rate, got 0.1 and 10"),
        ("--lr nan", "--lr must be a finite number, got nan"),
        ("--vae_mode deep", "--vae_mode must be one of plain, pp, got 'deep'"),
        ("--dataset imagefolder:/tmp --image_size 36", "--image_size must have sides that are multiples of 8"),
        ("--dataset imagefolder:/tmp --image-size 4", "--image-size must be from 8 to 1024 pixels, got 4"),
        (
            "--dataset imagefolder:/tmp --image_size 33",
            "--image_size must have sides that are multiples of 8, as from 32",
        ),
        ("--likelihood betabinomial", "--likelihood must be one of gaussian, laplace"),
        (
            "--dataset digits --likelihood bernoulli",
            "--likelihood bernoulli is of binary pixels, and those of digits have",
        ),
        (
            "--binarise fixed",
            "--likelihood must be bernoulli with --binarise fixed, whose pixels are 0 or 1, got gaussian",
        ),
        (
            "--likelihood bernoulli --binarise treshold",
            "--binarise must be one of none, dynamic, fixed, threshold, got",
        ),
        ("--likelihood laplace --multi_rate", "--likelihood must be gaussian with --multi_rate, got laplace"),
        ("--limit_train 1", "--limit_train must be at least 2, got 1"),
        ("--epochs -1 --seed -1", "--epochs must be at least 1, got -1"),
        ("--data_dir /etc/passwd", "--data_dir must be a folder, got '/etc/passwd', which is a file"),
        ("--data-dir ~nobody-here", "--data-dir must be a path, got '~nobody-here'"),
        ("--dataset imagefolder:~nobody-here", "--dataset must be in a home that there is"),
    ],
    "analysis": [
        ("nope", "there is no command 'nope'"),
        ("compar", "there is no command 'compar'"),
        ("report", "STUDY must be given"),
        ("report /nowhere", "STUDY must be a folder, got '/nowhere', which is not there"),
        ("report ''", "STUDY must be a path, got '': it is empty"),
        ("report /", "STUDY must be a study's folder, got '/', which has no study.json"),
        ("report ~nobody-here", "STUDY must be a path, got '~nobody-here'"),
        (f"report {LONG}", "STUDY must be a path, got 'nnn"),
        ("report {odd}/pipe", "STUDY must be a study's folder, got '{odd}/pipe', which has no study.json"),
        ("report {study} --inception {odd}/fifo", "--inception must be a file that can be read, got '{odd}/fifo'"),
        ("best http://host/study", "STUDY must be a path, got 'http://host/study': it is a URL"),
        ("best {study} --rate nan", "--rate must be a number from 0 up, got nan"),
        ("best {study} --distortion inf", "--distortion must be a number, got inf"),
        ("best {study} --field val_rate", "there is no option --field"),
        ("compare", "STUDY must be given"),
        ("compare {study} {study} --out {odd}/fifo", "--out must be a page (.html), got '{odd}/fifo'"),
        ("compare {study} {study} --out {study}/study.json", "--out must be a page (.html), got"),
        ("compare {study} {study} --out page", "--out must be a page (.html), got 'page'"),
        ("compare {study} {study} --out page/", "--out must be a file, got 'page/', which is a folder"),
        ("report {study} --top 0", "--top must be at least 1, got '0'"),
        ("report {study} --inception /nowhere", "--inception must be a file that can be read, got '/nowhere'"),
        ("report {study} --inception /etc/passwd", "--inception /etc/passwd must hold torch-fidelity's"),
        ("report {study} --data-dir /etc/passwd", "--data-dir must be a folder, got '/etc/passwd', which is a file"),
        ("best {study} --rate x", "--rate must be a number, got 'x'"),
        ("best {study} --rate -1", "--rate must be a number from 0 up, got -1"),
        ("best {study} --rate 1 --knee", "a model is taken for one wish, got --rate and --knee"),
        ("compare {study}", "a comparison needs at least 2 studies, got 1"),
        ("compare {study} {study}", "a study cannot be compared with itself"),
        ("compare {study} {study} --out /nowhere/x.html", "--out must be in a folder that can be written"),
        ("compare {study} {study} --out /tmp", "--out must be a file, got '/tmp', which is a folder"),
        ("list", "FOLDER must be a folder, got 'runs', which is not there"),
        ("list /etc/passwd", "FOLDER must be a folder, got '/etc/passwd', which is a file"),
        ("list ''", "FOLDER must be a path, got '': it is empty"),
    ],
    "studies": [
        ("begin", "there is no command 'begin'"),
        ("status", "STUDY must be given"),
        ("status nowhere", "STUDY must be a folder, got 'nowhere', which is not there"),
        ("pause nowhere", "STUDY must be a folder, got 'nowhere', which is not there"),
        ("resume nowhere", "STUDY must be a folder, got 'nowhere', which is not there"),
        ("stop nowhere", "STUDY must be a folder, got 'nowhere', which is not there"),
        ("prune-checkpoints nowhere", "STUDY must be a folder, got 'nowhere', which is not there"),
        ("status /", "STUDY must be a study's folder, got '/'"),
        ("status ''", "STUDY must be a path, got '': it is empty"),
        ("stop /etc/passwd", "STUDY must be a folder, got '/etc/passwd', which is a file"),
        ("pause ~nobody-here", "STUDY must be a path, got '~nobody-here'"),
        ("prune-checkpoints {study} --keep 0", "--keep must be at least 1, got '0'"),
    ],
    "cluster": [
        ("local --nodes 65", "--nodes must be at most 64, got '65'"),
        ("local --workers-per-node x", "--workers-per-node must be a whole number, got 'x'"),
    ],
}
Run = Callable[[str, list[str]], SimpleNamespace]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process, from an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(program: str, arguments: list[str]) -> SimpleNamespace:
        module = importlib.import_module(PROGRAMS.get(program, f"{program}.__main__"))
        monkeypatch.setattr(sys, "argv", [str(module.__file__), *arguments])
        with pytest.raises(SystemExit) as ended:
            main(module.STUDY) if program == "digits" else module.run(module.app)
        return SimpleNamespace(code=int(ended.value.code or 0), **capsys.readouterr()._asdict())

    return command


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic(tmp_path_factory.mktemp("studies") / "study", 4)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is no study's folder, and may not be opened."""
    folder = tmp_path_factory.mktemp("odd")
    os.mkfifo(folder / "fifo")
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    (folder / "full" / "other").mkdir(parents=True)
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "study.json")
    return folder


@pytest.mark.parametrize(
    ("program", "line", "message"), [(program, *case) for program, cases in WRONG.items() for case in cases]
)
def test_a_wrong_command_is_two_lines_and_leaves_nothing(
    program: str, line: str, message: str, study: Path, odd: Path, tmp_path: Path, run: Run
) -> None:
    before = sorted(odd.rglob("*")), sorted(study.parent.rglob("*"))
    if program == "main" and "--dataset" not in line:
        line += " --dataset digits"
    line, message = (it.replace("{study}", str(study)).replace("{odd}", str(odd)) for it in (line, message))
    done = run(program, shlex.split(line))
    lines = done.err.splitlines()
    assert done.code == 2, done
    assert lines[0].startswith(f"error: {message}"), done.err
    assert len(lines) == 2, done.err
    assert re.search(LIBRARIES, done.err) is None, done.err
    assert list(tmp_path.iterdir()) == []
    assert (sorted(odd.rglob("*")), sorted(study.parent.rglob("*"))) == before


@pytest.mark.parametrize(
    ("program", "line", "way_out"),
    [
        ("digits", "--set model.likelihood=betabinomial", "did you mean beta_binomial?"),
        ("digits", "--batch-size 64", "did you mean --set batch_size=VALUE?"),
        ("digits", "--learning-rate=1e-4", "did you mean --set lr=VALUE?"),
        ("digits", "--latent_dim 8", "did you mean --set model.latent_dim=VALUE?"),
        ("digits", "--set learning_rate=1e-4", "did you mean lr?"),
        ("digits", "--set Latent_dim=4", "did you mean model.latent_dim?"),
        ("digits", "--set model.components=3", "set likelihood to logistic_mixture, or leave components out"),
        ("digits", "--set model.binarise=fixed", "set likelihood to bernoulli, or binarise to none"),
        ("digits", "--set model.widht=3", "did you mean model.width? its fields: image_shape, "),
        ("digits", "--set optimizer=adma", "did you mean adam?"),
        ("digits", "--storage foo://x", "there is no kind of database 'foo': use sqlite, postgresql or mysql"),
        ("digits", "--storage mysql://u@h/d", "install the package mysqlclient"),
        ("main", "--dataset imagefolder:/tmp --image_size 33", "the nearest that are: 32 and 40"),
        ("main", "--dataset imagefolder:/tmp --image_size 30", "the nearest that are: 28 and 32"),
        ("main", "--dataset imagefolder:/tmp --image_size 1023", "the nearest that are: 896 and 1024"),
        ("main", "--dataset digits --likelihood bernouli", "did you mean bernoulli?"),
    ],
)
def test_the_way_out_is_a_command_that_can_be(program: str, line: str, way_out: str, run: Run) -> None:
    assert run(program, shlex.split(line)).err.splitlines()[1].startswith(way_out)


def _fault(side: int) -> str:
    try:
        ModelConfig(image_shape=(3, side, side))
    except ValueError as error:
        return str(error)
    return ""


def test_the_sides_that_are_said_to_fit_are_the_nearest_that_do() -> None:
    faults = {side: _fault(side) for side in range(8, 1025)}
    fitting = [side for side, fault in faults.items() if not fault]
    assert fitting == sorted(base << level for base in (4, 5, 6, 7) for level in range(9) if 8 <= base << level <= 1024)
    for side in faults.keys() - set(fitting):
        lower, upper = max(it for it in fitting if it < side), min(it for it in fitting if it > side)
        assert f"\nthe nearest that are: {lower} and {upper}" in faults[side]


EXCHANGED = (
    "trials",
    "repeats",
    "tensorboard",
    "models",
    "visu",
    "visu/digits_vae",
    "report.html",
    "trials.csv",
    "sessions.jsonl",
)


@pytest.mark.parametrize("name", EXCHANGED)
def test_a_file_in_the_place_of_a_folder_is_named_and_the_other_way_round(
    name: str, study: Path, tmp_path: Path, run: Run
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    place = copy / name
    if "." in name:
        place.unlink(missing_ok=True)
        place.mkdir()
    else:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        place.touch()
    rule = "must be a file, and is a folder" if "." in name else "must be a folder, and is a file"
    commands = [("analysis", ["report", str(copy)]), ("digits", ["--out", str(copy), "--dry-run"])]
    for program, arguments in commands:
        done = run(program, arguments)
        assert done.code == 2
        assert done.err == f"error: {place} {rule}\nmove it away\n"


@pytest.mark.parametrize("name", ["models", "models/VAE", "visu", "visu/digits_vae"])
def test_a_model_s_folders_that_are_files_are_named(name: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    done = run("main", ["--dataset", "digits"])
    assert (done.code, len(done.err.splitlines())) == (2, 2)
    assert done.err.startswith(f"error: {name} must be a folder, got a file\nmove it away")


@pytest.mark.parametrize("program", ["digits", "analysis"])
def test_a_full_disk_is_seen_before_the_work(
    program: str, study: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Files can be made there, and nothing be written into them."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainables.console.os.fsync", full)
    done = run(program, ["--dry-run", "--out", "x"] if program == "digits" else ["report", str(study)])
    assert done.code == 2
    assert re.match(r"error: (--out|STUDY) must be a folder that can be written, got .*: No space left", done.err)
