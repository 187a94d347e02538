"""Prepares the user's folders once the GameServer is theirs."""
