"""Where the weights of backbones are found, and what exactly they are."""
