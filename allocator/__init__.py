"""Maps verified users to GameServers and carries their traffic."""
