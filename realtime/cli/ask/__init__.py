"""`realtime ask`: put recorded or written questions to a server, and show what comes of it."""
