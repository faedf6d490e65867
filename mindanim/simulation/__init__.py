"""A simulated study with known truth: procedural films, a simulated cortex, and raw data in real layouts."""
