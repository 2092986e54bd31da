"""Sources: bytes from the world, stamped with their arrival; each opens, reads, closes, and reopens for ever."""
