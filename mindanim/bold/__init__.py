"""From BOLD runs to responses per clip: read, clean, align, select voxels, standardise."""
