"""`landmint recipes`: the recipes that come along."""


def recipes() -> None:
    """The recipes that come along: what each is for, and the folder to copy one from.

    Every verb that takes a recipe takes the name of one of these.

    Examples:
        landmint recipes
    """
    from landmint.pipeline.tables import print_recipes

    print_recipes()
