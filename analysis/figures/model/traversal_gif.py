"""The traversals in motion: all latents side by side, swept back and forth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageColor, ImageDraw, ImageFont

from analysis.figures.model.traversal import Traversal
from analysis.figures.style import mosaic
from trainables.records.atomic_files import write_atomic

TILE = 96
GAP = 8
HEADER, FOOTER = 40, 30
MILLISECONDS = 110
COLORS = 128
INK, FADED, ACCENT = "#1a1a1a", "#8a8a8a", "#D55E00"


def draw_traversal_gif(traversal: Traversal) -> list[Image.Image]:
    """One frame a position, up to the last and back: 2 T - 2 of them, which repeat without a jump."""
    stills = [draw_still(traversal, k) for k in range(len(traversal.positions))]
    palette = shared_palette(traversal.decoded)
    stills = [still.quantize(palette=palette, dither=Image.Dither.NONE) for still in stills]
    return stills + stills[-2:0:-1]


def shared_palette(decoded: np.ndarray) -> Image.Image:
    """The text's colours, and those of all images (R, T, C, H, W): one palette for all frames does not
    flicker, and a small one makes a small file."""
    text = [part for color in ("#ffffff", INK, FADED, ACCENT) for part in ImageColor.getrgb(color)]
    tiles = Image.fromarray((mosaic(decoded, 0) * 255).round().astype(np.uint8))
    count = COLORS - len(text) // 3
    palette = Image.new("P", (1, 1))
    palette.putpalette(text + (tiles.quantize(count).getpalette() or [])[: 3 * count])
    return palette


def draw_still(traversal: Traversal, position: int) -> Image.Image:
    """The tiles at one position, each under its latent's number and KL, above a slider."""
    tiles = mosaic(traversal.decoded[None, :, position], 0)
    count, (height, width) = len(traversal.latents), traversal.decoded.shape[-2:]
    scale = max(1, TILE // width) if width <= TILE else TILE / width
    side = (round(width * scale), round(height * scale))
    cell = max(side[0], 84) + GAP
    canvas = Image.new("RGB", (max(count * cell + GAP, 240), HEADER + side[1] + FOOTER), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.truetype(findfont("DejaVu Sans"), 13)
    left = (canvas.width - count * cell - GAP) // 2 + GAP
    for k, (latent, nats) in enumerate(zip(traversal.latents, traversal.kl, strict=True)):
        tile = Image.fromarray((tiles[:, k * width : (k + 1) * width] * 255).round().astype(np.uint8))
        middle = left + k * cell + (cell - GAP) // 2
        method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        canvas.paste(tile.resize(side, method), (middle - side[0] // 2, HEADER))
        draw.text((middle, 3), f"latent {latent}", INK, font, anchor="ma")
        draw.text((middle, 20), f"{nats:.2f} nats", FADED, font, anchor="ma")
    draw_slider(draw, font, canvas, traversal.positions[position], traversal.positions[-1])
    return canvas


def draw_slider(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, canvas: Image.Image, value: float, reach: float
) -> None:
    middle, y, half = canvas.width // 2, canvas.height - FOOTER // 2, 70
    draw.line((middle - half, y, middle + half, y), FADED, 2)
    draw.line((middle, y - 4, middle, y + 4), FADED, 2)
    draw.text((middle - half - 10, y), f"{-reach:g}", FADED, font, anchor="rm")
    draw.text((middle + half + 10, y), f"{reach:g}", FADED, font, anchor="lm")
    x = middle + half * value / reach
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), ACCENT)


def save_gif(frames: list[Image.Image], path: Path) -> Path:
    """Write an animated GIF that repeats for ever; a reader never sees a part of it."""
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "gif", save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, optimize=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())
    return path
