"""The embedded phantom: synthetic ankle CT with known fractures, drawn from a seed."""

from seattn.data.phantom.cohort import make_ankle_phantom
from seattn.data.phantom.render import AnkleSlice, render_ankle

__all__ = ["AnkleSlice", "make_ankle_phantom", "render_ankle"]
