"""Training of the small frozen backbones that the package ships, on frames and captions of the simulated world."""
