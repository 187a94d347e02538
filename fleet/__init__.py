"""What runs GameServers, behind one interface: `fleet.base` is the contract, `fleet.local` and `fleet.agones` keep it."""
