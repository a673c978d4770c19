"""The measures of a painted picture in one line, for titles."""

from ..features import FULL
from ..images import fit_size, load_image, resize
from .distances import content_distance, style_distance
from .sharpness import grain


def summary(image, photograph, style, backbone, plan=FULL):
    """Style distance, content distance and grain of a picture as text.

    Args:
        image: the painted picture: whatever :func:`~nstlib.images.load_image` takes.
        photograph: the content, resized to the image.
        style: the painting; like the style of a transfer, it is reduced where its longer side exceeds the image's.
        backbone: :class:`~nstlib.features.Backbone` of the distances that reaches ``relu5_1``.
        plan: :class:`~nstlib.features.Plan` of the distances.

    Returns:
        A text such as ``"style 0.120, content 0.89, grain 11.8"``; see :func:`style_distance`,
        :func:`content_distance` and :func:`grain`, which counts where the photograph is flattest.

    Raises:
        InputError: a picture that cannot be read or is too small for the network.
    """
    image, photograph, style = (load_image(picture).to(backbone.mean.device) for picture in (image, photograph, style))
    photograph = resize(photograph, image.shape[2:])
    style = resize(style, fit_size(*style.shape[2:], min(max(style.shape[2:]), max(image.shape[2:]))))
    return (
        f"style {style_distance(image, style, backbone, plan=plan):.3f}, "
        f"content {content_distance(image, photograph, backbone, plan=plan):.2f}, "
        f"grain {grain(image, photograph):.1f}"
    )
