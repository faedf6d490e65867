"""Terms that all rooms share: arrays, clips, runs, and the words of messages."""
