"""Values by voxel as files for viewers and as figures."""
