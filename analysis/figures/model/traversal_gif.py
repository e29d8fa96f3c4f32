"""The traversals in motion: all latents side by side, swept back and forth."""

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageColor, ImageDraw, ImageFont

from analysis.figures.model.traversal import Traversal, compute_traversal
from analysis.figures.registry import ModelFigure
from analysis.figures.style import mosaic

_TILE, _GAP = 96, 8
_HEADER, _FOOTER = 40, 30
_COLORS = 128
_INK, _FADED, _ACCENT = "#1a1a1a", "#8a8a8a", "#D55E00"


def draw_traversal_gif(traversal: Traversal) -> list[Image.Image]:
    """One frame a position, up to the last and back: 2 T - 2 of them, which repeat without a jump."""
    stills = [_draw_still(traversal, k) for k in range(len(traversal.positions))]
    palette = _shared_palette(traversal.decoded)
    stills = [still.quantize(palette=palette, dither=Image.Dither.NONE) for still in stills]
    return stills + stills[-2:0:-1]


def _shared_palette(decoded: np.ndarray) -> Image.Image:
    """The text's colours, and those of all images (R, T, C, H, W): one palette for all frames does not
    flicker, and a small one makes a small file."""
    text = [part for color in ("#ffffff", _INK, _FADED, _ACCENT) for part in ImageColor.getrgb(color)]
    tiles = Image.fromarray((mosaic(decoded, 0) * 255).round().astype(np.uint8))
    count = _COLORS - len(text) // 3
    palette = Image.new("P", (1, 1))
    palette.putpalette(text + (tiles.quantize(count).getpalette() or [])[: 3 * count])
    return palette


def _draw_still(traversal: Traversal, position: int) -> Image.Image:
    """The tiles at one position, each under its latent's number and KL, above a slider."""
    tiles = mosaic(traversal.decoded[None, :, position], 0)
    count, (height, width) = len(traversal.latents), traversal.decoded.shape[-2:]
    scale = _TILE // width if width <= _TILE else _TILE / width
    side = (round(width * scale), round(height * scale))
    cell = max(side[0], 84) + _GAP
    canvas = Image.new("RGB", (max(count * cell + _GAP, 240), _HEADER + side[1] + _FOOTER), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.truetype(findfont("DejaVu Sans"), 13)
    left = (canvas.width - count * cell - _GAP) // 2 + _GAP
    for k, (latent, nats) in enumerate(zip(traversal.latents, traversal.kl, strict=True)):
        tile = Image.fromarray((tiles[:, k * width : (k + 1) * width] * 255).round().astype(np.uint8))
        middle = left + k * cell + (cell - _GAP) // 2
        method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        canvas.paste(tile.resize(side, method), (middle - side[0] // 2, _HEADER))
        draw.text((middle, 3), f"latent {latent}", _INK, font, anchor="ma")
        draw.text((middle, 20), f"{nats:.2f} nats", _FADED, font, anchor="ma")
    middle, y, half, reach = canvas.width // 2, canvas.height - _FOOTER // 2, 70, traversal.positions[-1]
    draw.line((middle - half, y, middle + half, y), _FADED, 2)
    draw.line((middle, y - 4, middle, y + 4), _FADED, 2)
    draw.text((middle - half - 10, y), f"{-reach:g}", _FADED, font, anchor="rm")
    draw.text((middle + half + 10, y), f"{reach:g}", _FADED, font, anchor="lm")
    x = middle + half * traversal.positions[position] / reach
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), _ACCENT)
    return canvas


FIGURE = ModelFigure(
    name="traversal_gif",
    title="Latent traversals in motion",
    order=70,
    caption="The same latents in motion, from -3 to 3 and back.",
    compute=compute_traversal,
    draw=draw_traversal_gif,
    folder="traversal",
)
