"""Numbers and names that several rooms must agree on."""

SIGNIFICANT = 0.05
"""p values up to this count as significant."""
METRICS_SCHEMA = 4
"""Version of the layout of metrics.json."""

MESH_VERTICES = 32_492
"""Vertices of one hemisphere of the standard mesh 32k_fs_LR, including the medial wall."""
HEMISPHERES = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
"""Cortical surfaces by the names CIFTI gives them."""

TAIL_S = 12.0
"""CC2017: seconds from the end of a film to the end of its runs."""
LATE_START_S = 2.0
"""CC2017: seconds from the start of a training film, or of the first test film, to its runs' first volume."""

TR_TOLERANCE = 1e-3
"""Two repetition times agree when they differ by at most this share."""
LONGEST_TR_S = 100.0
"""Repetition times from here on, in seconds, are taken for milliseconds or for damaged, as BIDS does."""
FACTS_FILE = "mindanim-study.json"
"""What a simulated study says about itself."""
SHEET_CLIPS = 12
"""Clips on a contact sheet."""

SAME_LOOK = 0.12
"""Two clips look alike when at most this share of the bits of their perceptual hashes differs."""
SAME_EMBEDDING = 0.98
"""Two clips show the same when their CLIP vectors have at least this cosine."""

MEMORY_SHARE = 0.6
"""Fraction of the free memory to fill; the rest is for convolution workspaces, the allocator and others."""


def pixels_at_once(device_type: str) -> int:
    """Pixels per call of an image network; more are no faster, given a CPU's caches or a GPU's cores."""
    return 1 << 17 if device_type == "cpu" else 1 << 22
