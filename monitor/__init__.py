"""A small web server that says how the stack is: JSON, Prometheus metrics, and a page for people."""
