"""One module for each peer: how an app would set it up, and how to see what it has recorded.

They run in an environment that has nothing but the standard library, the base of every environment, and that peer.
"""
