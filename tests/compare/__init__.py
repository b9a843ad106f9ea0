"""Builds many small Dockerfiles with cobuild, and compares what comes out with what BuildKit made of them."""
