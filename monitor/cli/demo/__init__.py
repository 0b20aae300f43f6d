"""The command `demo`: the whole program against stand-ins on loopback."""
