"""Training of the small frozen backbones that ship with the package, on the simulated world alone."""
