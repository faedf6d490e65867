"""The command line: it parses, hands over, and shows. No work is done here."""
