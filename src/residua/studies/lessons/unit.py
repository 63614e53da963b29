"""Step 1: a residual unit computes H(x) = F(x) + x."""

from __future__ import annotations

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number, Picture


def run(course: Course) -> Finding:
    """Compare a unit's output with its branch plus its input, and the weights of both kinds of network."""
    import torch

    from residua.anatomy.drawing.draw import draw
    from residua.anatomy.inspect import inspect
    from residua.families.build import build
    from residua.specs.catalog import get_spec
    from residua.studies.measures.surgery import branch_end, named_units, residual

    torch.manual_seed(0)
    shallow, _ = course.depths
    network = residual(build(get_spec(f"cifar_resnet{shallow}", input_size=8)))
    unit = named_units(network)["layer1.0"]
    kept: list[torch.Tensor] = []
    hook = branch_end(unit, network).register_forward_hook(lambda module, inputs, out: kept.append(out.clone()))
    x = torch.randn(4, 16, 8, 8).relu()
    with torch.no_grad():
        output = unit(x.clone())
    hook.remove()
    apart = float((output - (kept[0] + x).relu()).abs().max())
    anatomy = inspect(f"cifar_resnet{shallow}", input_shape=(3, 8, 8))
    extra = anatomy.params - inspect(f"cifar_plain{shallow}", input_shape=(3, 8, 8)).params
    return Finding(
        (
            f"One unit of an untrained network of {shallow} layers, on random maps: what it returns and ReLU(F(x) + "
            f"x), computed by hand from the same branch, differ by {apart:g} at most.",
            f"The network with shortcuts has {extra:,} more weights than the one without: adding x costs none.",
        ),
        (
            Number(f"{apart:g}", "largest difference between the unit and ReLU(F(x) + x)", apart),
            Number(f"{extra:,}", "weights that the shortcuts add", extra),
        ),
        (
            Picture(
                draw(anatomy),
                f"The residual network of {shallow} layers. Arcs are shortcuts; a diagram shows what is inside a unit.",
                wide=True,
            ),
        ),
    )


LESSON = Lesson(
    title="A residual unit returns its input plus a correction",
    idea=(
        "You know convolution: a *kernel*, a small window of weights, slides over an image, and at each place the "
        "products of weights and pixels are summed. One kernel gives one *map*, a picture of where its pattern occurs; "
        "a *convolution layer* has many kernels and gives as many maps. A *network* is a chain of layers that ends in "
        "one number per class, its *logits*; the largest one is the answer.",
        "Between the convolutions stand two helpers. *ReLU* replaces negative numbers by 0, since a chain of sums "
        "alone would be one sum. *Batch normalisation* (BN) subtracts from each map its mean over all images that are "
        "computed together, and divides by its deviation, so that numbers keep their size from layer to layer.",
        "Say that two layers should compute some function H of their input x. A *plain* network lets them compute H "
        "itself. A *residual* network lets them compute only what must be added to x: F(x) = H(x) − x, the *residual*. "
        "The layers of F are the *branch*; what carries x past them is the *shortcut*; both together are a *unit*.",
    ),
    formulas=(
        ("H(x) = F(x) + x", "the unit: branch plus shortcut"),
        ("F(x) = BN(W₂ ∗ ReLU(BN(W₁ ∗ x)))", "the branch: two convolutions (∗) with kernels W₁ and W₂"),
        ("y = ReLU(F(x) + x)", "what the next unit gets, in the form of 2015"),
    ),
    words={
        "kernel": "a small window of weights",
        "map": "what one kernel gives, also called a channel",
        "logits": "the network's last numbers, one per class",
        "ReLU": "max(0, x)",
        "BN": "batch normalisation: each map gets mean 0 and deviation 1, then a learned scale and shift",
        "plain": "without shortcuts",
        "branch": "the layers of F",
        "shortcut": "what carries x past the branch",
        "unit": "branch, shortcut and their sum",
    },
    runs="Builds a network, runs one unit, and adds the two parts by hand.",
    source="He 2015, arXiv 1512.03385, section 3.1 and equation 1; figure 2",
    run=run,
    more=("residua inspect cifar_resnet20", "residua diff cifar_resnet20 cifar_plain20"),
)
