"""The Isthmus daemon: one protobuf contract, two protocols."""

__version__ = "0.1.0"
