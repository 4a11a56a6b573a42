"""`landmint zoo`: the published systems that come along as recipes."""


def zoo() -> None:
    """The published systems that come along as recipes: size, published figures, source.

    Every verb that takes a recipe takes the name of one of these. What they give when trained by
    landmint stands in docs/zoo.md.

    Examples:
        landmint zoo
    """
    from landmint.pipeline.tables import print_systems

    print_systems()
