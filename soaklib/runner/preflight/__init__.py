"""What costs a day when it is found at H+16 is found before the load, by some dozen calls of agents made for it."""
