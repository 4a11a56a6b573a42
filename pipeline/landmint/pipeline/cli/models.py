"""`landmint models`: the students that come along."""


def models() -> None:
    """The models that come along: network, size, error on faces that they never saw.

    Examples:
        landmint models
    """
    from landmint import api
    from landmint.pipeline.tables import print_shipped
    from landmint.train.zoo import best

    best()  # says so where none is shipped
    print_shipped(api.models())
