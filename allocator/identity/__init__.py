"""Who is asking: one file per identity proxy, all behind `Verifier`."""
