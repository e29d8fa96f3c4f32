"""Every named image set, declared: its shape and classes, where its files may lie, their checksums, their mirrors. To
add a set, add an entry to `CATALOG`; where no reader knows its format, a function to `readers` first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainables.data.readers import PublishedFile, Reader, read_cifar_binary, read_cifar_pickled, read_digits, read_idx

_Names = tuple[str, ...]
FOLDERS = {"imagefolder": 3, "greyfolder": 1}  # a person's own pictures, with so many channels


@dataclass(frozen=True, kw_only=True)
class Version:
    """A set in one format: the files that belong together, how they are read, and where they are downloaded from."""

    read: Reader  # gets the files of a split
    train: tuple[PublishedFile, ...] = ()
    test: tuple[PublishedFile, ...] = ()  # where there are none, a part of the training split becomes the test split
    unread: _Names = ()  # files that must lie beside them
    folders: _Names = (".",)  # of the data folder, where the files may lie; they are downloaded to the first
    gzipped: bool = False  # whether each file may lie there as it is published, with .gz behind its name
    archives: dict[str, str] = field(default_factory=dict)  # to download, *.tar.gz or *.gz: their hashes for pooch
    mirrors: _Names = ()  # addresses that an archive's name is put behind, in the order in which they are tried

    @property
    def file_names(self) -> _Names:
        """Of all files, unpacked."""
        return (*(file.name for file in (*self.train, *self.test)), *self.unread)


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """A set of images (C, H, W), of which label `k` is called `classes[k]`. Of its versions, the first that is there is
    read, and the first is the one to download."""

    shape: tuple[int, int, int]
    classes: _Names
    versions: tuple[Version, ...]


def _set_like_mnist(
    publisher: str, classes: _Names, hashes: Sequence[tuple[str, str]], folders: _Names, mirrors: _Names
) -> NamedSet:
    """60,000 and 10,000 images in four idx files; of each the SHA-256, and the MD5 as it is published, with gzip."""
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    files, archives = [], {}
    for name, size, (sha256, md5) in zip(names, (47_040_016, 60_008, 7_840_016, 10_008), hashes, strict=True):
        files.append(PublishedFile(publisher, name, f"sha256:{sha256}", size))
        archives[f"{name}.gz"] = f"md5:{md5}"
    train, test = tuple(files[:2]), tuple(files[2:])
    idx = Version(
        read=read_idx, train=train, test=test, folders=folders, gzipped=True, archives=archives, mirrors=mirrors
    )
    return NamedSet(shape=(1, 28, 28), classes=classes, versions=(idx,))


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_CIFAR10_HASHES = (  # SHA-256 of the binary version, MD5 of the pickled one
    ("cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", "c99cafc152244af753f735de768cd75f"),
    ("a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", "d4bba439e000b95fd0a9bffe97cbabec"),
    ("bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", "54ebc095f3ab1f0389bbae665268c751"),
    ("014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", "634d18415352ddfa80567beed471001a"),
    ("755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ("8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", "40351d587109b95175f43aff81a1287e"),
)
_CIFAR10 = [(batch, *hashes) for batch, hashes in zip(_CIFAR10_BATCHES, _CIFAR10_HASHES, strict=True)]
_CIFAR10_BINARY = tuple(PublishedFile("CIFAR-10", f"{b}.bin", f"sha256:{sha}", 30_730_000) for b, sha, _ in _CIFAR10)
_CIFAR10_PICKLED = tuple(PublishedFile("CIFAR-10", b, f"md5:{md5}") for b, _, md5 in _CIFAR10)

CATALOG = {
    "mnist": _set_like_mnist(
        "MNIST",
        classes=_DIGITS,
        hashes=(
            ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", "d53e105ee54ea40749a09fcbcd1e9432"),
            ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", "9fb629c4189551a2d022fa330f9573f3"),
            ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        folders=("MNIST/raw", "MNIST", "mnist", "."),
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    ),
    "fashion_mnist": _set_like_mnist(
        "Fashion-MNIST",
        classes=_CLOTHES,
        hashes=(
            ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", "25c81989df183df01b3e8a0aad5dffbe"),
            ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", "bef4ecab320f06d8554ea6380940ec79"),
            ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        folders=("FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    "cifar10": NamedSet(
        shape=(3, 32, 32),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        versions=(
            Version(
                read=read_cifar_binary,
                train=_CIFAR10_BINARY[:-1],
                test=_CIFAR10_BINARY[-1:],
                folders=("cifar-10-batches-bin",),
                archives={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
                mirrors=("https://www.cs.toronto.edu/~kriz/",),
            ),
            Version(
                read=read_cifar_pickled,
                train=_CIFAR10_PICKLED[:-1],
                test=_CIFAR10_PICKLED[-1:],
                unread=("batches.meta",),
                folders=("cifar-10-batches-py",),
                archives={"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
                mirrors=("https://www.cs.toronto.edu/~kriz/",),
            ),
        ),
    ),
    "digits": NamedSet(shape=(1, 28, 28), classes=_DIGITS, versions=(Version(read=read_digits),)),
}
NAMES = (*CATALOG, *(f"{kind}:PATH" for kind in FOLDERS))  # what a data set may be called
