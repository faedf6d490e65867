"""Films as a player shows them, for all rooms: which frame is on screen when, and its picture."""
