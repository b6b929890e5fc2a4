"""Pages of pictures: the radiograph with the annotated outline, and its heat map at each layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from examples.heat_maps.measures import LAYERS, heat_maps
from examples.heat_maps.radiographs import Radiographs
from examples.heat_maps.training import probabilities
from seattn.backbones import ResNet
from seattn.explain import overlay

__all__ = ["draw_pages"]

PER_PAGE = 12
COLUMNS = 2
SOURCE = (
    "FracAtlas, Abedeen et al., Sci Data 10:521 (2023), doi 10.1038/s41597-023-02432-4, CC BY 4.0"
)


def draw_pages(network: ResNet, test: Radiographs, folder: Path, name: str) -> list[Path]:
    """Every fractured test image, from the highest score to the lowest, as PNG pages.

    Each map is drawn at its own scale, so two maps say nothing about each other's strength.
    """
    fractured = torch.nonzero(test.labels == 1).flatten()
    scores = probabilities(network, test)[fractured]
    order = np.argsort(-scores)
    paths = []
    for page, start in enumerate(range(0, len(order), PER_PAGE)):
        chosen = order[start : start + PER_PAGE]
        batch = test.batch(fractured[chosen])
        masks = batch.mask[:, 0]
        maps = [torch.zeros_like(masks), *(heat_maps(network, x, batch.image)[0] for x in LAYERS)]
        drawn = [overlay(batch.image, cam, contour=masks) for cam in maps]
        tiles = np.concatenate(drawn, axis=2)  # (N, S, 3 S, RGB)
        titles = [f"{test.names[fractured[i]]}  p = {scores[i]:.2f}" for i in chosen]
        paths.append(folder / f"{name}_{page + 1}.png")
        _page(tiles, titles).save(paths[-1])
    return paths


def _page(tiles: np.ndarray, titles: list[str]) -> Image.Image:
    line, (height, width) = 14, tiles.shape[1:3]
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (width + 4), rows * (height + line) + line), "white")
    pen = ImageDraw.Draw(page)
    for i, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        x, y = i % COLUMNS * (width + 4), i // COLUMNS * (height + line)
        pen.text((x + 2, y + 1), title, fill="black")
        page.paste(Image.fromarray(tile), (x, y + line))
    pen.text((2, rows * (height + line) + 1), SOURCE, fill="black")
    return page
