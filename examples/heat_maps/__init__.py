"""Do heat maps point at fractures? A small network, real radiographs, expert masks, controls."""
