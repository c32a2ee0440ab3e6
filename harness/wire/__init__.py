"""MRD over a socket: the client that plays a scan to a server, and the server of a reconstructor."""
