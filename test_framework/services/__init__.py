"""The services of the stack: one folder each, with the same file names, holding only what differs."""
