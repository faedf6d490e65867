"""Decoders fitted by ridge regression."""
