"""Pipeline: chunks of bytes in, what must be said upstream out; decode, window, infer and decide in a row. No clock is read, and no I/O done but through the scorer."""
