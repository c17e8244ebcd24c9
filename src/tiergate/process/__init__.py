"""What a process that serves is put together from: settings, logs, sockets, the server that ends in order.

And, from outside, `children`: such a process started, waited for and ended.
"""
