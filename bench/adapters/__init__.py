"""One file per gateway: where it is found and how it is started. They measure nothing."""
