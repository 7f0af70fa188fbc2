"""Generated from protos/isthmus/v1 by `make protos`. Not for editing."""
