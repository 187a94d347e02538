"""What every component shares: the clock, errors for people, bounded HTTP calls. Standard library and h11 only."""
