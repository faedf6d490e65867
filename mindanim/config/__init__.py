"""Options: how they are declared, resolved and explained."""
