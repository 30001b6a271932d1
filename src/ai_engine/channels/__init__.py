"""One folder a platform; `base.py` is the port."""
