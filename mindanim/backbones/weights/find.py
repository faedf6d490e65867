"""Find a named backbone's files, identify them, and say how to get those that are missing."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from mindanim import console
from mindanim.artifacts import Source
from mindanim.artifacts.checksums import file_sha256
from mindanim.backbones.weights import clip_names, hub
from mindanim.backbones.weights.catalogue import (
    CLIP_WEIGHTS,
    FETCH,
    FETCH_TOKENIZER,
    FETCH_TRANSFORMERS_CLIP,
    LICENCES,
    NEEDED,
    OPTIONAL,
    TRANSFORMERS_CLIP,
    Kind,
)
from mindanim.backbones.weights.clip_names import NamedClip
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

    @property
    def of_open_clip(self) -> bool:
        """Whether a CLIP model is one of open_clip's architectures or folders, not one of transformers'."""
        return self.architecture is not None or "open_clip_config.json" in self.files

    def holds(self, pattern: str) -> str | None:
        """The first file whose name matches the regular expression `pattern`, or None."""
        return next((name for name in self.files if re.search(pattern, name)), None)


def locate(name: str, kind: Kind, offline: bool = True) -> Weights:
    """Find the files of the backbone `name` without loading it.

    Args:
        name: ``demo``, a local folder (also ``models--OWNER--MODEL`` of a hub cache) or a hub id; for CLIP
            also OpenAI's ``ViT-B/32``, open_clip's ``ARCHITECTURE/TAG``, or ``ARCHITECTURE@FILE``.
        offline: If False, missing files are downloaded from the hub.

    Raises:
        ConfigError: `name` or `kind` is invalid.
        InputError: `name` is a file but must be a folder, or a folder of several versions.
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
    plain = re.sub(r"^(local-dir:|hf-hub:|https://huggingface\.co/)", "", name).rstrip("/")
    folder = Path(plain).expanduser()
    if folder.is_dir():
        return _from_folder(name, kind, folder)
    if kind == "clip" and (named := clip_names.parse(plain)):
        return _clip(name, named, offline)
    if folder.is_file():
        raise _not_a_folder(folder, kind)
    if name.startswith("local-dir:") or re.match(r"[.~/]|.*/.*/", plain):
        return _from_folder(name, kind, folder)
    return _from_hub(name, kind, plain, offline)


def _not_a_folder(file: Path, kind: Kind) -> InputError:
    if kind == "diffusion":
        return InputError(
            f"{file} is a file; a diffusion model is a folder in the diffusers layout.",
            why="A checkpoint in one file holds neither the tokenizer nor the noise schedule.",
            hint="On a machine with a network, in Python: diffusers.StableDiffusionPipeline.from_single_file("
            f"{str(file)!r}).save_pretrained('FOLDER'); then name that folder.",
        )
    return InputError(
        f"{file} is a file; the {kind} backbone is a folder.",
        why=f"It also needs {', '.join(names[0] for names in NEEDED[kind])}.",
        hint=f"Name the folder of such a model, perhaps {file.parent}",
    )


def _from_folder(name: str, kind: Kind, folder: Path) -> Weights:
    folder, repository = hub.snapshot(folder)

    def find(file: str) -> Path | None:
        return folder / file if (folder / file).is_file() else None

    found, missing = _collect(find, _layout(kind, find), OPTIONAL[kind])
    if not missing:
        return _weights(name, kind, folder, found, LICENCES.get(repository or name))
    where = f"Missing in {folder}" if folder.is_dir() else f"There is no folder {folder}. It should hold"
    copy = (
        "Download it on a machine with a network "
        f"(hf download {repository or 'MODEL'} --local-dir {shlex.quote(str(folder))}) and copy it here."
    )
    raise MissingError(
        f"The {kind} backbone {name!r} is not complete on this machine.",
        why=f"{where}: {'; '.join(missing)}.",
        hint="Install mindanim again: the demo set is part of the package." if name == "demo" else copy,
    )


def _layout(kind: Kind, find: Finder) -> Sequence[tuple[str, ...]]:
    """The files that a model of this kind needs, in the layout that some of them already have."""
    if kind == "clip" and find("open_clip_config.json") is None and find("config.json") is not None:
        return TRANSFORMERS_CLIP
    if kind == "image_classifier" and (config := find("config.json")) and _is_timm(config):
        return NEEDED[kind][:2]  # its config.json says how images are prepared
    return NEEDED[kind]


def _is_timm(config: Path) -> bool:
    try:
        return "pretrained_cfg" in json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return False


def _from_hub(
    name: str,
    kind: Kind,
    repository: str,
    offline: bool,
    needed: Sequence[tuple[str, ...]] = (),
    patterns: Sequence[str] = (),
    once_here: str = "FOLDER",
) -> Weights:
    """A model of the hub; `needed` and `patterns` replace what models of its kind consist of.

    Args:
        once_here: What names the model when its files are in FOLDER.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
        raise ConfigError(f"{name!r} is neither a local folder nor a hub id (OWNER/MODEL).")
    optional = () if needed else OPTIONAL[kind]
    if not patterns:
        whole = kind == "clip" and re.match(r"openai/clip-|google/siglip", repository)
        patterns = FETCH_TRANSFORMERS_CLIP if whole else FETCH[kind]
        needed = TRANSFORMERS_CLIP if whole else ()

    def cached(file: str) -> Path | None:
        found = try_to_load_from_cache(repository, file)
        return Path(found) if isinstance(found, str) else None

    found, missing = _collect(cached, needed or _layout(kind, cached), optional)
    why = f"Looked in {constants.HF_HUB_CACHE}; nothing was downloaded (--offline, --dry-run or doctor)."
    if missing and not offline:
        console.say(f"Downloading {hub.with_sizes(repository, missing)} of {repository}.")
        why = hub.fetch(repository, patterns)
        found, missing = _collect(cached, needed or _layout(kind, cached), optional)
        if missing:  # shards, now that their index is there
            hub.fetch(repository, missing)
            found, missing = _collect(cached, needed or _layout(kind, cached), optional)
    if missing:
        # Shards are known once their index is there.
        more = [file for file in missing if not any(fnmatch(file, pattern) for pattern in patterns)]
        wanted = [f"--include '{pattern}'" for pattern in (*patterns, *more)]
        command = " ".join([f"hf download {repository}", *wanted])
        licence = LICENCES.get(repository, "see its model card")
        raise MissingError(
            f"The {kind} backbone {name!r} is not complete on this machine.",
            why=f"Missing: {hub.with_sizes(repository, missing)}; licence: {licence}. {why}",
            hint=f"On a machine with a network: {command}\n"
            f"Then copy {constants.HF_HUB_CACHE} here; or add --local-dir FOLDER and name {once_here}",
        )
    anchor = cached(found[0])
    assert anchor is not None, "a file found a moment ago"
    folder = anchor.parents[found[0].count("/")]
    return _weights(name, kind, folder, found, LICENCES.get(repository))


def _clip(name: str, named: NamedClip, offline: bool) -> Weights:
    """Weights of one of open_clip's architectures, from a file or from the hub."""
    architecture = (named.architecture, named.tag)
    if named.file:
        return _weights(name, "clip", named.file.parent, [named.file.name], architecture=architecture)
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    owner, model, file = get_pretrained_cfg(*architecture)["hf_hub"].split("/", 2)
    files = (file,) if file else CLIP_WEIGHTS
    once_here = f"{'/'.join(architecture)}@FOLDER/{files[0]}"
    found = _from_hub(name, "clip", f"{owner}/{model}", offline, (files,), (files[0],), once_here)
    tokenizer = open_clip.get_model_config(named.architecture)["text_cfg"].get("hf_tokenizer_name")
    if tokenizer and not offline:
        hub.fetch(tokenizer, FETCH_TOKENIZER)
    return _weights(name, "clip", found.path, found.files, found.licence, architecture)


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
