"""The networks of the three decoders."""
