"""Lets torchvision, and timm with it, be imported beside a CPU-only torch."""

from benchmarks.peers import skip_torchvision_fakes

skip_torchvision_fakes()
