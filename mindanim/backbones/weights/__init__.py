"""Weights of backbones: finding, listing and verifying their files."""
