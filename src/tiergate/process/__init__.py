"""What a process that serves is put together from: settings, logs, sockets, the server that ends in order."""
