"""Reconstruct videos from human brain activity."""
