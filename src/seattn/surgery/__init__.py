"""Attention in somebody else's network: put in as the exact identity, folded, taken out again."""

from seattn.surgery.folding import fold_attention
from seattn.surgery.insertion import insert_attention, remove_attention
from seattn.surgery.report import Insertion, InsertReport

__all__ = [
    "InsertReport",
    "Insertion",
    "fold_attention",
    "insert_attention",
    "remove_attention",
]
