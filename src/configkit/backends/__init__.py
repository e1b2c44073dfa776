"""One module or package for each system that configkit runs on; wiring alone chooses among them."""
