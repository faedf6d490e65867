"""From film files to what the decoders learn to predict: frames, captions, features, augmented views."""
