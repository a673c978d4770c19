"""The colours of the result: the style's or, by one of several methods, the content's.

Before the transfer, the style can be recoloured like the content, or both reduced to their luminance; after it, the
result can be given the content's histogram or chroma. :func:`prepare` does the former, :class:`Finish` the latter.

Reference: Gatys, Bethge, Hertzmann, Shechtman, *Preserving Color in Neural Artistic Style Transfer*, 2016.
"""

import math

import numpy as np
import torch
from skimage import color as spaces
from skimage import exposure

from .errors import check_choice

LINEAR_METHODS = ("cholesky", "pca", "symmetric")
#: Values of ``color=``: the style's colours, or the content's by histogram matching of the style or of the result,
#: by a linear map of the style's colours, or by painting in luminance only.
COLORS = ("style", "histogram", "histogram_after", *LINEAR_METHODS, "luminance")


def match_histogram(image, target, *, weights=None, target_weights=None):
    """Give each channel of ``image`` the distribution it has in ``target``.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.
        weights, target_weights: alpha of each, (1, 1, H, W), or None: pixels less than half opaque are ignored and
            left unchanged.

    Returns:
        Tensor like ``image``. Computed by :func:`skimage.exposure.match_histograms`.
    """
    array = _to_array(image)
    there = np.ones(array.shape[:2], bool) if weights is None else weights[0, 0].cpu().numpy() >= 0.5
    goals = _to_array(target)
    goals = goals.reshape(-1, 1, 3) if target_weights is None else goals[target_weights[0, 0].cpu().numpy() >= 0.5]
    if there.any() and len(goals):
        matched = exposure.match_histograms(array[there][:, None], goals.reshape(-1, 1, 3), channel_axis=-1)
        array[there] = matched[:, 0]
    return _to_tensor(array, image)


def linear_transfer(image, target, method="symmetric", *, weights=None, target_weights=None):
    """Map the colours of ``image`` linearly, so that their mean and covariance become those of ``target``.

    A map ``A`` with ``A S A^T = S*`` turns covariance ``S`` into ``S*``; the methods are three such maps. Directions
    in which ``image`` does not vary (a grey or constant picture) stay without variance.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.
        method: ``"cholesky"`` (Cholesky roots of the covariances), ``"pca"`` (their symmetric roots, as in *Image
            Analogies*) or ``"symmetric"`` (the map that changes the colours least).
        weights, target_weights: pixel weights of each, (1, 1, H, W), or None.

    Returns:
        Tensor like ``image``, not clipped to [0, 1]. Computed in float64.

    Raises:
        InputError: unknown method.

    References: Gatys et al. 2016, section 3.1; Pitie & Kokaram, *The Linear Monge-Kantorovitch Linear Colour
    Mapping for Example-Based Colour Transfer*, 2007, for the last.
    """
    check_choice("method", method, LINEAR_METHODS)
    pixels = _to_array(image).reshape(-1, 3).astype(np.float64)
    mean, covariance = _statistics(image, weights)
    goal_mean, goal = _statistics(target, target_weights)
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


def match_luminance(image, target, *, weights=None, target_weights=None):
    """``image`` in grey, with the mean and standard deviation of the lightness of ``target``.

    Args:
        image, target: RGB in [0, 1], shape (1, 3, H, W), of any two sizes.
        weights, target_weights: pixel weights of each, (1, 1, H, W), or None.
    """
    lab, goal = spaces.rgb2lab(_to_array(image)), spaces.rgb2lab(_to_array(target))[..., :1]
    light = lab[..., :1]
    mean, variance = _moments(light, weights)
    goal_mean, goal_variance = _moments(goal, target_weights)
    spread = math.sqrt(goal_variance.item()) / max(math.sqrt(variance.item()), 1e-6)
    lab[..., :1] = ((light - mean) * spread + goal_mean).clip(0, 100)
    lab[..., 1:] = 0
    return _to_tensor(spaces.lab2rgb(lab), image).clamp(0, 1)


def chroma(image):
    """a* and b* of CIE Lab, an array of shape (H, W, 2)."""
    return spaces.rgb2lab(_to_array(image))[..., 1:]


def with_chroma(image, source, strength=1.0):
    """``image`` with the a* and b* of ``source`` and its own lightness.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        source: a picture of the same size, likewise, or its :func:`chroma`.
        strength: 0 keeps the chroma of ``image``, 1 takes that of ``source``.

    Returns:
        Tensor like ``image``; colours outside the gamut of sRGB lose chroma.
    """
    lab = spaces.rgb2lab(_to_array(image))
    goal = chroma(source) if torch.is_tensor(source) else source
    lab[..., 1:] += strength * (goal - lab[..., 1:])
    return _to_tensor(_in_gamut(lab), image)


def prepare(content, styles, mode, strength=1.0, *, weights=None, style_weights=None):
    """Recolour content and styles before the transfer, as ``mode`` requires.

    Args:
        content: RGB in [0, 1], shape (1, 3, H, W).
        styles: list of pictures, likewise.
        mode: one of :data:`COLORS`.
        strength: from 0, the style's colours after all, to 1.
        weights: of the content's pixels for each style, (1, 1, H, W) or None: where it is to have the colours of.
        style_weights: of each style's own pixels, likewise.

    Returns:
        ``(content, styles)``.

    Raises:
        InputError: unknown mode.
    """
    check_choice("color", mode, COLORS)
    if mode in ("style", "histogram_after"):
        return content, styles
    match = {"histogram": match_histogram, "luminance": match_luminance}.get(mode)
    recoloured = []
    none = [None] * len(styles)
    for style, own, place in zip(styles, style_weights or none, weights or none, strict=True):
        options = {"weights": own, "target_weights": place}
        new = match(style, content, **options) if match else linear_transfer(style, content, mode, **options)
        recoloured.append(torch.lerp(style, new.clamp(0, 1), strength))
    if mode == "luminance":
        content = torch.lerp(content, luminance(content), strength)
    return content, recoloured


class Finish:
    """Recolours the result after the transfer; what depends on the content alone is computed once.

    Args:
        content: the content in its own colours, RGB in [0, 1], shape (1, 3, H, W).
        mode, strength: as for :func:`prepare`.
        weights: alpha of content and result, (1, 1, H, W), or None.

    Called with a picture of the content's size, it returns the recoloured picture.
    """

    def __init__(self, content, mode, strength=1.0, *, weights=None):
        self.mode, self.strength, self.weights = mode, strength, weights
        self.content = chroma(content) if mode == "luminance" else content if mode == "histogram_after" else None

    def __call__(self, image):
        if self.mode == "histogram_after":
            own = {"weights": self.weights, "target_weights": self.weights}
            return torch.lerp(image, match_histogram(image, self.content, **own), self.strength)
        return with_chroma(image, self.content, self.strength) if self.mode == "luminance" else image


def _in_gamut(lab):
    """Lab to RGB. Colours outside the gamut lose chroma until they fit; hue and lightness are kept.

    Clipping RGB values would change all three.
    """
    rgb = _lab_to_rgb(lab)
    outside = ((rgb < 0) | (rgb > 1)).any(-1)
    if outside.any():
        colours = lab[outside]
        low, high = np.zeros(len(colours)), np.ones(len(colours))  # shares of the chroma that fit and do not fit
        for _ in range(8):
            share = (low + high) / 2
            found = _lab_to_rgb(colours * np.stack([np.ones_like(share), share, share], -1))
            fits = ((found >= 0) & (found <= 1)).all(-1)
            low, high = np.where(fits, share, low), np.where(fits, high, share)
        rgb[outside] = _lab_to_rgb(colours * np.stack([np.ones_like(low), low, low], -1))
    return rgb.clip(0, 1)


def _lab_to_rgb(lab):
    """As :func:`skimage.color.lab2rgb`, but colours outside the gamut lie outside [0, 1] instead of being clipped."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    white, matrix = spaces.xyz_tristimulus_values(illuminant="D65", observer="2"), spaces.colorconv.rgb_from_xyz.T
    linear = xyz * white.astype(lab.dtype) @ matrix.astype(lab.dtype)
    return np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _statistics(image, weights):
    """Mean (3,) and covariance (3, 3) of the colours, float64."""
    return _moments(_to_array(image).astype(np.float64), weights)


def _moments(values, weights):
    """Weighted mean (C,) and covariance (C, C) of an array (H, W, C)."""
    flat = values.reshape(-1, values.shape[-1])
    weights = None if weights is None else weights[0, 0].cpu().double().numpy().ravel()
    mean = np.average(flat, 0, weights)
    return mean, np.atleast_2d(np.cov(flat, rowvar=False, bias=True, aweights=weights))


def _power(matrix, exponent):
    """Power of a covariance matrix; directions without variance stay without variance."""
    values, vectors = np.linalg.eigh(matrix)
    there = values > 1e-10 * max(values.max(), 1e-10)
    values = np.where(there, np.where(there, values, 1) ** exponent, 0)
    return vectors * values @ vectors.T


def _cholesky(matrix):
    """Lower-triangular root, of singular matrices too, by the QR decomposition of the symmetric root."""
    return np.linalg.qr(_power(matrix, 0.5)).R.T


def _to_array(image):
    """Copy as an array (H, W, 3), in single precision unless the picture is in double."""
    return image[0].permute(1, 2, 0).cpu().to(torch.promote_types(image.dtype, torch.float32)).numpy().copy()


def _to_tensor(array, like):
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].to(like)
