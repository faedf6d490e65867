"""Find a named backbone's files, identify them, and say how to get those that are missing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from mindanim.artifacts import Source
from mindanim.backbones.weights.catalogue import (
    CLIP_WEIGHTS,
    FETCH,
    LICENCES,
    NEEDED,
    OPTIONAL,
    Kind,
    file_size,
)
from mindanim.backbones.weights.checksum import file_sha256
from mindanim.errors import ConfigError, InputError, MissingError

Finder = Callable[[str], Path | None]

DEMO = Path(__file__).parents[1] / "demo"


@dataclass(frozen=True)
class Weights:
    """The files of one backbone on this machine.

    Attributes:
        name: As given by the user.
        path: Folder of `files`, which are relative and sorted.
        identity: sha256 of the files' names and contents; the same wherever the model is stored.
        size_bytes: Size of all files together.
        licence: As far as it is known.
        architecture: For CLIP weights without a configuration file, open_clip's name of the architecture and
            the tag (empty for a file).
    """

    name: str
    kind: Kind
    path: Path
    files: tuple[str, ...]
    identity: str
    size_bytes: int
    licence: str | None = None
    architecture: tuple[str, str] | None = None

    @property
    def source(self) -> Source:
        """These files as an input of a stage."""
        detail = {
            "kind": self.kind,
            "path": str(self.path),
            "bytes": self.size_bytes,
            "licence": self.licence,
        }
        return Source(self.name, self.identity, detail)

    def holds(self, pattern: str) -> str | None:
        """The first file whose name matches the regular expression `pattern`, or None."""
        return next((name for name in self.files if re.search(pattern, name)), None)


def locate(name: str, kind: Kind, offline: bool = True) -> Weights:
    """Find the files of the backbone `name` without loading it.

    Args:
        name: ``demo``, a local folder or a hub id; for CLIP also open_clip's ``ARCHITECTURE/TAG``, or
            ``ARCHITECTURE@FILE``.
        offline: If False, missing files are downloaded from the hub.

    Raises:
        ConfigError: `name` or `kind` is invalid.
        InputError: `name` is a file but must be a folder.
        MissingError: Files are missing; lists each one and the command that downloads them.
    """
    if kind not in get_args(Kind):
        raise ConfigError(
            f"There is no kind of backbone called {kind!r}.", hint=f"Use one of {', '.join(get_args(Kind))}."
        )
    if not name:
        raise ConfigError(f"No {kind} backbone is named.", hint=f"Choose one, e.g. --set {kind}=demo")
    if name == "demo":
        return _from_folder(name, kind, DEMO / kind)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(name, kind, folder)
    if kind == "diffusion" and folder.is_file():
        raise InputError(
            f"{folder} is a file; a diffusion model is a folder in the diffusers layout.",
            why="A checkpoint in one file holds neither the tokenizer nor the noise schedule.",
            hint="On a machine with a network, in Python: diffusers.StableDiffusionPipeline.from_single_file("
            f"{str(folder)!r}).save_pretrained('FOLDER'); then name that folder.",
        )
    if kind == "clip" and "@" in name:
        return _clip_file(name)
    if kind == "clip" and (tagged := _clip_tag(name, offline)):
        return tagged
    if re.match(r"[.~/]|.*/.*/", name):
        return _from_folder(name, kind, folder)
    return _from_hub(
        name, kind, name.removeprefix("hf-hub:"), NEEDED[kind], OPTIONAL[kind], FETCH[kind], offline
    )


def _from_folder(name: str, kind: Kind, folder: Path) -> Weights:
    def find(file: str) -> Path | None:
        return folder / file if (folder / file).is_file() else None

    found, missing = _collect(find, NEEDED[kind], OPTIONAL[kind])
    if not missing:
        return _weights(name, kind, folder, found, LICENCES.get(name))
    where = f"Missing in {folder}" if folder.is_dir() else f"There is no folder {folder}. It should hold"
    copy = (
        f"Download it on a machine with a network (hf download MODEL --local-dir {folder}) and copy it here."
    )
    raise MissingError(
        f"The {kind} backbone {name!r} is not complete on this machine.",
        why=f"{where}: {'; '.join(missing)}.",
        hint="Install mindanim again: the demo set is part of the package." if name == "demo" else copy,
    )


def _from_hub(
    name: str,
    kind: Kind,
    repository: str,
    needed: Sequence[tuple[str, ...]],
    optional: Sequence[str],
    patterns: Sequence[str],
    offline: bool,
) -> Weights:
    from huggingface_hub import constants, try_to_load_from_cache

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
        raise ConfigError(f"{name!r} is neither a local folder nor a hub id (OWNER/MODEL).")

    def cached(file: str) -> Path | None:
        found = try_to_load_from_cache(repository, file)
        return Path(found) if isinstance(found, str) else None

    found, missing = _collect(cached, needed, optional)
    why = f"Looked in {constants.HF_HUB_CACHE}; nothing was downloaded (--offline, --dry-run or doctor)."
    if missing and not offline:
        why = _fetch(repository, patterns)
        found, missing = _collect(cached, needed, optional)
        if missing:  # shards, now that their index is there
            _fetch(repository, missing)
            found, missing = _collect(cached, needed, optional)
    if missing:
        # Shards are known once their index is there.
        more = [file for file in missing if not any(fnmatch(file, pattern) for pattern in patterns)]
        wanted = [f"--include '{pattern}'" for pattern in (*patterns, *more)]
        command = " ".join([f"hf download {repository}", *wanted])
        licence = LICENCES.get(repository, "see its model card")
        raise MissingError(
            f"The {kind} backbone {name!r} is not complete on this machine.",
            why=f"Missing: {_with_sizes(repository, missing)}; licence: {licence}. {why}",
            hint=f"On a machine with a network: {command}\n"
            f"Then copy {constants.HF_HUB_CACHE} here; or add --local-dir FOLDER and name that folder.",
        )
    anchor = cached(found[0])
    assert anchor is not None, "a file found a moment ago"
    folder = anchor.parents[found[0].count("/")]
    return _weights(name, kind, folder, found, LICENCES.get(repository))


def _with_sizes(repository: str, files: Sequence[str]) -> str:
    """List the files in words, the largest first, with the known sizes and their total."""
    sizes = {file: size for file in files if (size := file_size(repository, file))}

    def described(file: str) -> str:
        if file in sizes:
            return f"{file} ({_size(*sizes[file])})"
        return file if file.endswith(".json") else f"{file} (size not known)"

    listed = "; ".join(described(file) for file in sorted(files, key=lambda file: -sizes.get(file, (0,))[0]))
    if not sizes:
        return listed
    together = _size(sum(size for size, _ in sizes.values()), all(exact for _, exact in sizes.values()))
    return f"{listed}. Together {together}" + (" and a few small files" if len(sizes) < len(files) else "")


def _size(size: int, exact: bool) -> str:
    number = f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
    return number if exact else f"about {number}"


def _fetch(repository: str, patterns: Sequence[str]) -> str:
    """Download the available files; return why some may still be missing."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(repository, allow_patterns=list(patterns))
    except (OSError, ValueError) as error:
        # huggingface_hub's network and repository errors are OSErrors, its validation errors ValueErrors.
        return f"Fetching them failed: {str(error).strip().splitlines()[0]}"
    return f"The hub's {repository} does not hold them."


def _clip_file(name: str) -> Weights:
    """``ARCHITECTURE@FILE``."""
    architecture, _, file = name.partition("@")
    import open_clip

    if architecture not in open_clip.list_models():
        raise ConfigError(
            f"open_clip has no architecture {architecture!r}.", hint="open_clip.list_models() lists them."
        )
    path = Path(file).expanduser()
    if not path.is_file():
        raise MissingError(f"{path}, the weights of the clip backbone {name!r}, does not exist.")
    return _weights(name, "clip", path.parent, [path.name], architecture=(architecture, ""))


def _clip_tag(name: str, offline: bool) -> Weights | None:
    """``ARCHITECTURE/TAG``; None if `name` does not start with an architecture."""
    architecture, _, tag = name.partition("/")
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if architecture not in open_clip.list_models():
        return None
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        raise ConfigError(
            f"open_clip has no weights tagged {tag!r} for {architecture}.",
            hint=f"Tags: {', '.join(tags) or 'none'}.",
        )
    owner, model, file = get_pretrained_cfg(architecture, tag)["hf_hub"].split("/", 2)
    files = (file,) if file else CLIP_WEIGHTS
    found = _from_hub(name, "clip", f"{owner}/{model}", (files,), (), (files[0],), offline)
    return _weights(name, "clip", found.path, found.files, found.licence, (architecture, tag))


def _collect(
    find: Finder, needed: Sequence[tuple[str, ...]], optional: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Found files, sorted, including the shards listed by an index; and preferred names of missing files."""
    found, missing = [], []
    for names in needed:
        name = next((name for name in names if find(name) is not None), None)
        if name is None:
            missing.append(names[0])
            continue
        found.append(name)
        if ".index." in name:
            index = find(name)
            assert index is not None, "a file found a moment ago"
            shards = [f"{name[: name.rfind('/') + 1]}{shard}" for shard in _shards(index)]
            found += [shard for shard in shards if find(shard) is not None]
            missing += [shard for shard in shards if find(shard) is None]
    return sorted({*found, *(name for name in optional if find(name) is not None)}), missing


def _shards(index: Path) -> list[str]:
    """The files, in the folder of `index`, that hold the weights it lists."""
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        shards = sorted({str(shard) for shard in named})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{index} is no index of sharded weights.",
            why=f"It should map each parameter to a file under weight_map ({type(error).__name__}).",
            hint="Fetch the model again.",
        ) from error
    if not shards or (outside := [shard for shard in shards if not re.fullmatch(r"\w[\w.-]*", shard)]):
        what = (
            f"It names {outside[0]!r}, which is not a file of its folder." if shards else "It lists no file."
        )
        raise InputError(f"{index} is no index of sharded weights.", why=what, hint="Fetch the model again.")
    return shards


def _weights(
    name: str,
    kind: Kind,
    folder: Path,
    files: Sequence[str],
    licence: str | None = None,
    architecture: tuple[str, str] | None = None,
) -> Weights:
    digest = hashlib.sha256("\0".join((kind, *(architecture or ()))).encode())
    for file in files:
        digest.update(f"\0{file}\0{file_sha256(folder / file)}".encode())
    return Weights(
        name=name,
        kind=kind,
        path=folder,
        files=tuple(files),
        identity=digest.hexdigest(),
        size_bytes=sum((folder / file).stat().st_size for file in files),
        licence=licence or _stated_licence(folder),
        architecture=architecture,
    )


def _stated_licence(folder: Path) -> str | None:
    """The licence in the front matter of the folder's model card."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    match = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
    return match.group(1) if match else None
