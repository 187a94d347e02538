"""GameServers as groups of processes on this machine, with a real SDK server for each."""
