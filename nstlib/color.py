"""Whose colours a painting has: the style's, or in one of several ways the content's.

Before the transfer the style can be recoloured like the content, or both reduced to their luminance; after it the
result can be given the content's histogram or chroma. :func:`prepare` and :func:`finish` are those two moments.

Reference: Gatys, Bethge, Hertzmann, Shechtman, *Preserving Color in Neural Artistic Style Transfer*, 2016.
"""

import numpy as np
import torch
from skimage import color as spaces
from skimage import exposure

from .errors import InputError, check_choice

LINEAR_METHODS = ("cholesky", "pca", "symmetric")
#: Values of ``color=``: the style's colours, or the content's by histogram matching of the style or of the result,
#: by a linear map of the style's colours, or by painting in luminance alone.
COLORS = ("style", "histogram", "histogram_after", *LINEAR_METHODS, "luminance")


def match_histogram(image, target):
    """Give every channel of ``image`` the distribution that it has in ``target``.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.

    Returns:
        Tensor like ``image``. Computed by :func:`skimage.exposure.match_histograms`.
    """
    matched = exposure.match_histograms(_to_array(image), _to_array(target), channel_axis=-1)
    return _to_tensor(matched, image)


def linear_transfer(image, target, method="symmetric"):
    """Map the colours of ``image`` linearly, so that their mean and covariance become those of ``target``.

    A map ``A`` with ``A S A^T = S*`` turns covariance ``S`` into ``S*``; the methods are three such maps. Directions
    in which ``image`` does not vary (a grey or constant picture) have nothing to be stretched and stay flat.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.
        method: ``"cholesky"`` (roots by Cholesky decomposition), ``"pca"`` (image analogies: principal axes of one
            onto those of the other) or ``"symmetric"`` (the map that moves the colours least).

    Returns:
        Tensor like ``image``, not clipped to [0, 1]. Computed in float64.

    Raises:
        InputError: unknown method.

    References: Gatys et al. 2016, section 3.1; Pitie & Kokaram, *The Linear Monge-Kantorovitch Linear Colour
    Mapping for Example-Based Colour Transfer*, 2007, for the last.
    """
    check_choice("method", method, LINEAR_METHODS)
    pixels, goals = (_to_array(x).reshape(-1, 3).astype(np.float64) for x in (image, target))
    mean, goal_mean = pixels.mean(0), goals.mean(0)
    covariance, goal = (np.cov(x, rowvar=False, bias=True) for x in (pixels, goals))
    if method == "symmetric":
        root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
        matrix = inverse @ _power(root @ goal @ root, 0.5) @ inverse
    elif method == "pca":
        matrix = _power(goal, 0.5) @ _power(covariance, -0.5)
    else:
        matrix = _cholesky(goal) @ np.linalg.pinv(_cholesky(covariance), rcond=1e-6)
    mapped = (pixels - mean) @ matrix.T + goal_mean
    return _to_tensor(mapped.reshape(*image.shape[2:], 3), image)


def luminance(image):
    """Lightness L* of CIE Lab as a grey RGB picture, shape (1, 3, H, W)."""
    lab = spaces.rgb2lab(_to_array(image))
    lab[..., 1:] = 0
    return _to_tensor(spaces.lab2rgb(lab), image).clamp(0, 1)


def match_luminance(image, target):
    """Grey picture of ``image`` whose lightness has the mean and standard deviation of that of ``target``.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.
    """
    lab, goal = spaces.rgb2lab(_to_array(image)), spaces.rgb2lab(_to_array(target))[..., 0]
    light = lab[..., 0]
    lab[..., 0] = (light - light.mean()) * (goal.std() / max(light.std(), 1e-6)) + goal.mean()
    lab[..., 0] = lab[..., 0].clip(0, 100)
    lab[..., 1:] = 0
    return _to_tensor(spaces.lab2rgb(lab), image).clamp(0, 1)


def with_chroma(image, source, strength=1.0):
    """``image`` with the a* and b* of ``source``; its lightness stays.

    Args:
        image, source: RGB in [0, 1], shape (1, 3, H, W), of one size.
        strength: 0 keeps the chroma of ``image``, 1 takes that of ``source``.

    Returns:
        Tensor like ``image``; colours that RGB lacks at their lightness are paler.
    """
    lab = spaces.rgb2lab(_to_array(image))
    lab[..., 1:] += strength * (spaces.rgb2lab(_to_array(source))[..., 1:] - lab[..., 1:])
    return _to_tensor(_in_gamut(lab), image)


def prepare(content, styles, mode, strength=1.0):
    """What to paint and in which styles, so that the result gets its colours as ``mode`` says.

    Args:
        content: RGB in [0, 1], shape (1, 3, H, W).
        styles: list of such.
        mode: one of :data:`COLORS`.
        strength: 0 is ``"style"``, 1 all of it.

    Returns:
        ``(content, styles)``.

    Raises:
        InputError: unknown mode, or a strength outside [0, 1].
    """
    check_color(mode, strength)
    if mode == "histogram":
        recoloured = [match_histogram(style, content) for style in styles]
    elif mode in LINEAR_METHODS:
        recoloured = [linear_transfer(style, content, mode).clamp(0, 1) for style in styles]
    elif mode == "luminance":
        recoloured = [match_luminance(style, content) for style in styles]
        content = torch.lerp(content, luminance(content), strength)
    else:
        return content, styles
    return content, [torch.lerp(a, b, strength) for a, b in zip(styles, recoloured, strict=True)]


def finish(image, content, mode, strength=1.0):
    """The painted ``image`` with the colours that ``mode`` gives it afterwards.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        content: the content in its own colours, same shape.
        mode, strength: as for :func:`prepare`.
    """
    if mode == "histogram_after":
        return torch.lerp(image, match_histogram(image, content), strength)
    return with_chroma(image, content, strength) if mode == "luminance" else image


def check_color(mode, strength):
    """Raise :class:`InputError` unless both can be used."""
    check_choice("color", mode, COLORS)
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise InputError(f"color_strength must be a number from 0 to 1, received {strength!r}")


def _in_gamut(lab):
    """RGB of Lab colours. Those that RGB lacks lose chroma until they fit; hue and lightness stay.

    Clipping RGB values would change all three.
    """
    rgb = _lab_to_rgb(lab)
    outside = ((rgb < 0) | (rgb > 1)).any(-1)
    if outside.any():
        colours = lab[outside]
        low, high = np.zeros(len(colours)), np.ones(len(colours))  # share of the chroma: fits, does not
        for _ in range(8):
            share = (low + high) / 2
            found = _lab_to_rgb(colours * np.stack([np.ones_like(share), share, share], -1))
            fits = ((found >= 0) & (found <= 1)).all(-1)
            low, high = np.where(fits, share, low), np.where(fits, high, share)
        rgb[outside] = _lab_to_rgb(colours * np.stack([np.ones_like(low), low, low], -1))
    return rgb.clip(0, 1)


def _lab_to_rgb(lab):
    """As :func:`skimage.color.lab2rgb`, but colours that RGB lacks come out beyond [0, 1] instead of clipped."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    linear = xyz * spaces.xyz_tristimulus_values(illuminant="D65", observer="2") @ spaces.colorconv.rgb_from_xyz.T
    return np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _power(matrix, exponent):
    """Power of a symmetric matrix; directions without variance stay without."""
    values, vectors = np.linalg.eigh(matrix)
    there = values > 1e-10 * max(values.max(), 1e-10)
    values = np.where(there, np.where(there, values, 1) ** exponent, 0)
    return vectors * values @ vectors.T


def _cholesky(matrix):
    """Lower triangular root; also of a singular matrix, by way of the QR decomposition of its symmetric root."""
    return np.linalg.qr(_power(matrix, 0.5)).R.T


def _to_array(image):
    return image[0].permute(1, 2, 0).cpu().double().numpy()


def _to_tensor(array, like):
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].to(like)
