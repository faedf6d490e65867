"""Models of the Hugging Face hub: the versions in its cache, their sizes, and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindanim.backbones.weights.catalogue import file_size
from mindanim.errors import InputError


def snapshot(folder: Path) -> tuple[Path, str]:
    """The files within a folder ``models--OWNER--MODEL`` of a hub cache, and the hub id; others as they are.

    Raises:
        InputError: It holds several versions, and does not say which is the current one.
    """
    if not folder.name.startswith("models--") or not (folder / "snapshots").is_dir():
        return folder, ""
    repository = folder.name.removeprefix("models--").replace("--", "/", 1)
    versions = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    current = folder / "refs" / "main"
    if current.is_file():
        main = folder / "snapshots" / current.read_text(encoding="utf-8", errors="replace").strip()
        if main in versions:
            return main, repository
    if len(versions) != 1:
        raise InputError(
            f"{folder} holds {len(versions)} versions of {repository}.",
            why=f"refs/main names none of them: {', '.join(path.name for path in versions) or 'none'}.",
            hint=f"Name one of the folders in {folder / 'snapshots'}",
        )
    return versions[0], repository


def with_sizes(repository: str, files: Sequence[str]) -> str:
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


def fetch(repository: str, patterns: Sequence[str]) -> str:
    """Download the available files; return why some may still be missing."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(repository, allow_patterns=list(patterns))
    except (OSError, ValueError) as error:
        # huggingface_hub's network and repository errors are OSErrors, its validation errors ValueErrors.
        return f"Fetching them failed: {str(error).strip().splitlines()[0]}"
    return f"The hub's {repository} does not hold them."
