"""Reading runs in the formats they come in: CIFTI, NIfTI, plain arrays."""
