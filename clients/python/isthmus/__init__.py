"""The light client of Isthmus: generated stubs and a little on top. Not the gateway: that is `isthmusd`."""
