"""Training of the demo backbones that ship with the package, on the simulated world only."""
