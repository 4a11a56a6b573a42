"""`landmint targets`: where engines can run."""


def targets() -> None:
    """Where engines can run: this machine, boards, and profiles of your own.

    Every option --target, and the key `target` of a recipe, takes one of these names, or the file
    of a profile; an address may follow after a colon.

    Examples:
        landmint targets
    """
    from landmint.pipeline.tables import print_targets

    print_targets()
