"""Workers that run independent tasks: processes of this machine, or a cluster."""
