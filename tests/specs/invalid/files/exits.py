"""A model of a user's that ends the program when it is loaded."""

import sys

sys.exit("no licence")
