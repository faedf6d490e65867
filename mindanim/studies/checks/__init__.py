"""What is checked of a study before it is used."""
