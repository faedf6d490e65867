"""What every room speaks of: arrays, clips, runs, and the words of messages."""
