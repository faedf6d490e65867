"""Fitting networks by gradient descent."""
