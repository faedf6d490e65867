"""CLIP models as people name them: open_clip's and OpenAI's names, and single files of weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from mindanim.artifacts.checksums import file_sha256
from mindanim.errors import ConfigError, InputError, MissingError

OPENAI = {
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}
"""OpenAI's names that are not open_clip's, and open_clip's architecture for each."""
_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".ckpt", ".npz")


@dataclass(frozen=True)
class NamedClip:
    """One of open_clip's architectures with weights.

    Attributes:
        architecture: As in ``open_clip.list_models()``.
        tag: open_clip's name of the weights, which also says how they were trained; empty if not known.
        file: The weights, if they were named by their file.
    """

    architecture: str
    tag: str
    file: Path | None = None


def parse(name: str) -> NamedClip | None:
    """What `name` says, or None if it is no form of ``ARCHITECTURE/TAG``, OpenAI's names, ``FILE``, or
    ``ARCHITECTURE@FILE`` (``ARCHITECTURE/TAG@FILE``, if its content does not tell how it was trained).

    Raises:
        ConfigError: The architecture or the tag is unknown, or the file holds those of another architecture.
        InputError: The architecture of a file is not stated and its content is not known.
        MissingError: The file does not exist.
    """
    stated, separator, path = name.partition("@")
    if name in OPENAI or not separator:
        if name.endswith(_SUFFIXES) or Path(name).expanduser().is_file():
            return _file("", _existing(name))
        return _tagged(name)
    if _spelled(stated) and stated not in OPENAI:
        return _file(_spelled(stated), _existing(path))
    if tagged := _tagged(stated):
        return replace(tagged, file=_existing(path))
    raise _unknown(stated)


def _existing(path: str) -> Path:
    file = Path(path).expanduser()
    if file.is_dir():
        raise ConfigError(
            f"{file} is a folder, not a file of weights.",
            hint="Name the file in it, or the folder alone if it holds open_clip_config.json or config.json.",
        )
    if not file.is_file():
        raise MissingError(
            f"{file}, the weights of a clip backbone, does not exist.",
            hint="Correct the path, or name ARCHITECTURE/TAG (ViT-B-32/openai) to look in the hub's cache.",
        )
    return file


def _tagged(name: str) -> NamedClip | None:
    import open_clip

    if name in OPENAI:
        return NamedClip(OPENAI[name], "openai")
    for separator in (":", "/"):
        stem, _, tag = name.rpartition(separator)
        architecture = _spelled(stem)
        if architecture:
            tags = open_clip.list_pretrained_tags_by_model(architecture)
            if tag.lower().replace("-", "_") in tags:
                return NamedClip(architecture, tag.lower().replace("-", "_"))
            raise ConfigError(
                f"open_clip has no weights tagged {tag!r} for {architecture}.",
                hint=f"Tags: {', '.join(tags) or 'none'}.",
            )
    architecture = _spelled(name)
    if not architecture:
        if re.match(r"(?i)vit-\w+/", name):  # OpenAI's way of writing, not a hub id
            raise _unknown(name)
        return None
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    raise ConfigError(
        f"{name!r} names an architecture, but not its weights.",
        hint=f"Add a tag, as in {architecture}/{tags[0]}. Tags: {', '.join(tags)}."
        if tags
        else f"open_clip has none for it; name a file: {architecture}@FILE",
    )


def _file(architecture: str, file: Path) -> NamedClip:
    known = _known(file)
    if not architecture:
        if not known:
            raise InputError(
                f"{file} does not state its architecture.",
                why="It is none of the files that open_clip lists.",
                hint=f"Name it too, as in ViT-B-32@{file} (open_clip.list_models() lists all).",
            )
        return NamedClip(*known[0], file)
    tags = [tag for found, tag in known if found == architecture]
    if known and not tags:
        raise ConfigError(
            f"{file} holds weights of {known[0][0]}, not of {architecture}.",
            why=f"open_clip lists it as {'/'.join(known[0])}.",
            hint=f"Name {known[0][0]}@{file}",
        )
    if not known and (file.parent / "open_clip_config.json").is_file():
        raise ConfigError(
            f"{file} lies beside its own configuration, which {architecture} may contradict.",
            why="open_clip_config.json states activation, image size and preprocessing.",
            hint=f"Name the folder: {file.parent}",
        )
    return NamedClip(architecture, tags[0] if tags else "", file)


def _known(file: Path) -> list[tuple[str, str]]:
    """(architecture, tag) of published weights, by the checksum in their address, else by their file name."""
    from open_clip.pretrained import get_pretrained_url, list_pretrained

    sha256, found = file_sha256(file), []
    for architecture, tag in list_pretrained():
        folder, published = ["", *get_pretrained_url(architecture, tag).split("/")][-2:]
        checksum = folder if len(folder) == 64 else Path(published).stem.rpartition("-")[2]
        if re.fullmatch(r"[0-9a-f]{8,64}", checksum):
            same = sha256.startswith(checksum)
        else:
            same = bool(published) and published == file.name
        if same:
            found.append((architecture, tag))
    return found


def _unknown(name: str) -> ConfigError:
    import open_clip

    near = get_close_matches(name, open_clip.list_models(), n=3, cutoff=0.7)
    return ConfigError(
        f"open_clip has no architecture {name!r}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else "open_clip.list_models() lists them.",
    )


def _spelled(name: str) -> str:
    """open_clip's spelling of an architecture, whatever its case and slashes; empty if there is none."""
    import open_clip

    wanted = name.replace("/", "-").casefold()
    return next((known for known in open_clip.list_models() if known.casefold() == wanted), "")
