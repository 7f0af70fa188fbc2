"""The benchmark: Isthmus measured beside other gateways in one run. It is not a test and never gates a commit."""
