"""What server processes are made of: settings, logs, sockets, listeners, workers, files, certificates, signals."""
