"""How well the compact network stands in for its teachers, on pictures it was not trained on.

    python benchmarks/distillation.py --vgg19 FILE --distilled FILE --contents FILE ... --styles FILE ...
        [--size 256] [--iterations 300] [--sheet sheet.png]

Every content is painted in every style three times, by optimisation with the compact network, with the
teachers themselves, and with a network of the compact one's shape and random weights. The three pictures and
the unchanged content are then measured with the *teachers'* features: normalised style loss (relu1_1 ... relu5_1)
and content loss (relu4_1, the teachers' layer next to the default, relu4_2). Style weights of the compact and the
random run are searched so that their content loss equals that of the teacher's run; what is left to compare is the
style.
"""

import argparse
import math
import time

import torch
from measure import table
from PIL import Image

from nstlib import load_backbone, load_image
from nstlib.features import ARCHITECTURES, STYLE_LAYERS, Backbone
from nstlib.images import fit_size, resize, to_pil
from nstlib.losses import content_loss, gram_loss, total_variation
from nstlib.moments import Moments
from nstlib.training.teacher import Teacher, load_distilled
from nstlib.transfer.settings import Settings

CONTENT_LAYER = "relu4_1"
TV_WEIGHT = Settings().tv_weight


def teachers(vgg19, distilled):
    """The real VGG-19 up to relu3_1; above, the 16x distilled encoder in VGG-19's channels."""
    lower = load_backbone("vgg19", deepest="relu3_1", weights=vgg19)
    upper, maps = load_distilled(distilled)
    above = ("relu4_1", "relu5_1")
    return Teacher((lower, ("relu1_1", "relu2_1", "relu3_1"), {}), (upper, above, {k: maps[k] for k in above}))


def losses(network, image, goals):
    """(content loss, style loss) of ``image`` in the eyes of ``network``."""
    content, styles = goals
    maps = network(image, (*STYLE_LAYERS, CONTENT_LAYER))
    style = sum(gram_loss(Moments.of(maps[layer]), styles[layer]).sum() for layer in STYLE_LAYERS) / len(STYLE_LAYERS)
    return content_loss((maps[CONTENT_LAYER] - content).square().sum(), content.square().sum()), style


def goals_of(network, content, style):
    with torch.no_grad():
        styles = {layer: Moments.of(x) for layer, x in network(style, STYLE_LAYERS).items()}
        return network(content, (CONTENT_LAYER,))[CONTENT_LAYER], styles


def optimise(network, content, style, style_weight, iterations):
    """The picture that ``network`` makes: Adam from the content, one size, alike for all networks."""
    goals = goals_of(network, content, style)
    image = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.02, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _ in range(iterations):
        optimizer.zero_grad()
        content_part, style_part = losses(network, image, goals)
        loss = content_part + style_weight * style_part + TV_WEIGHT * total_variation(image)
        (loss * image[0, 0].numel()).backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return image.detach()


def matched(network, content, style, iterations, measure, content_goal, rounds):
    """The picture whose content loss, in the teachers' eyes, is ``content_goal``: bisection on log style weight."""
    low, high, best = math.log(0.01), math.log(10_000.0), None
    for _ in range(rounds):
        middle = (low + high) / 2
        image = optimise(network, content, style, math.exp(middle), iterations)
        found = measure(image)
        if best is None or abs(math.log(found[0] / content_goal)) < abs(math.log(best[1][0] / content_goal)):
            best = image, found
        low, high = (middle, high) if found[0] < content_goal else (low, middle)
    return best


def random_network():
    torch.manual_seed(0)
    net = Backbone(ARCHITECTURES["compact"], deepest="relu5_1").requires_grad_(False)
    for conv in net.convs.values():
        torch.nn.init.kaiming_normal_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    return net


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vgg19", required=True)
    parser.add_argument("--distilled", required=True)
    parser.add_argument("--contents", nargs="+", required=True)
    parser.add_argument("--styles", nargs="+", required=True)
    parser.add_argument("--student", help="weights of the compact network (default: the package's)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=6, help="of the search for equal content loss")
    parser.add_argument("--style-weight", type=float, default=30.0, help="of the teacher's run")
    parser.add_argument("--sheet", help="file for a contact sheet: content, style, teacher, compact, random")
    options = parser.parse_args()
    teacher = teachers(options.vgg19, options.distilled)
    networks = {"compact": load_backbone("compact", weights=options.student), "random": random_network()}
    rows, sheet, totals = [], [], {}
    for content_path in options.contents:
        for style_path in options.styles:
            content, style = (load_image(name) for name in (content_path, style_path))
            content, style = (resize(x, fit_size(*x.shape[2:], options.size)) for x in (content, style))
            goals = goals_of(teacher, content, style)

            def measure(image, goals=goals):
                with torch.no_grad():
                    return tuple(loss.item() for loss in losses(teacher, image, goals))

            started = time.perf_counter()
            painted = optimise(teacher, content, style, options.style_weight, options.iterations)
            results = {"content": (content, measure(content)), "teacher": (painted, measure(painted))}
            for name, network in networks.items():
                results[name] = matched(
                    network, content, style, options.iterations, measure, results["teacher"][1][0], options.rounds
                )
            start, goal = results["content"][1][1], results["teacher"][1][1]
            for name, (_, (content_part, style_part)) in results.items():
                closed = (start - style_part) / (start - goal)
                totals.setdefault(name, []).append(closed)
                pair = f"{content_path.rpartition('/')[2]} / {style_path.rpartition('/')[2]}"
                rows.append([pair, name, f"{content_part:.4f}", f"{style_part:.4f}", f"{100 * closed:.0f} %"])
                print(*rows[-1], f"{time.perf_counter() - started:.0f} s", sep="\t", flush=True)
            sheet.append([content, style, *(results[name][0] for name in ("teacher", "compact", "random"))])
    for name, values in totals.items():
        rows.append(["mean", name, "", "", f"{100 * sum(values) / len(values):.0f} %"])
    table(["content / style", "optimised with", "content loss", "style loss", "distance closed"], rows)
    if options.sheet:
        save_sheet(sheet, options.sheet)


def save_sheet(rows, path):
    rows = [[to_pil(image) for image in row] for row in rows]
    width = max(image.width for row in rows for image in row)
    heights = [max(image.height for image in row) for row in rows]
    canvas = Image.new("RGB", (width * len(rows[0]), sum(heights)), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            canvas.paste(image, (x * width, sum(heights[:y])))
    canvas.save(path)


if __name__ == "__main__":
    main()
