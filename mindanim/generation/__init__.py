"""From features to frames: an image diffusion model inflated to clips, its samplers, and the files made."""
