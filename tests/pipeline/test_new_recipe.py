"""A recipe of one's own: every shipped recipe can be its base, and it says what it was told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.new_recipe import recipe_text
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.shipped_recipes import shipped_recipes
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import FacesConfig
from landmint.train.faces.synthetic import write_synthetic

FACES = FacesConfig(kind="300w", root=Path('my "faces"'), markup="68", images="pictures")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "my-faces"
    write_synthetic(root, {"train": 20, "val": 4, "test": 4}, get_markup("68"), 64, seed=0)
    return root


def _ask(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["new-recipe", *map(str, words)])


def _settings(recipe: Recipe) -> dict[str, object]:
    """All but whose faces they are, and where weights lie."""
    settings = recipe.model_dump(
        exclude={"name": True, "about": True, "source": True, "faces": True, "teachers": True}
    )
    for role in ("teacher", "student"):
        if settings[role] and settings[role]["start"]:
            settings[role]["start"] = settings[role]["start"].rpartition("/runs/")[2]
    return {**settings, "teachers": [each.rpartition("/runs/")[2] for each in recipe.teachers]}


@pytest.mark.parametrize("like", shipped_recipes())
def test_every_shipped_recipe_can_be_the_base(like: str, tmp_path: Path) -> None:
    base = load_recipe(Path(like))
    markup = base.faces.markup
    faces = FACES.model_copy(update={"markup": markup})
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("mine", like, faces), encoding="utf-8")
    recipe = load_recipe(path)
    assert (recipe.name, recipe.source) == ("mine", None)
    assert like in recipe.about
    assert recipe.faces == faces
    assert _settings(recipe) == _settings(base)
    starts = [recipe.student.start, *recipe.teachers]
    for start in filter(None, starts):
        assert Path(start).suffix == "" or Path(start).is_relative_to(tmp_path / "runs")


def test_what_a_base_explains_is_kept() -> None:
    text = recipe_text("mine", "own-faces", FACES)
    assert "# no tensorrt: it needs an NVIDIA GPU" in text
    assert "# INT8 may raise NME by half a point" in text
    assert "Two CPU cores" not in text, "that is about the base's own faces"


def test_validation_faces_that_train_too_are_explained() -> None:
    faces = FACES.model_copy(update={"val": ("train",), "limits": {"val": 500}})
    text = recipe_text("mine", "own-faces", faces)
    assert "# There are no validation faces" in text
    assert "limits = { val = 500 }" in text


def test_the_verb_writes_what_the_other_verbs_read(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = _ask("mine", "--faces", faces, "--like", "zoo/pfld-025x")
    assert made.exit_code == 0, made.output
    assert "mine.toml: like zoo/pfld-025x, on 300w faces" in made.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    done = CliRunner().invoke(cli.app, ["run", "mine.toml", "--until", "faces"])
    assert done.exit_code == 0, done.output


def test_nothing_is_overwritten(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("# by hand", encoding="utf-8")
    refused = _ask("mine", "--faces", faces)
    assert refused.exit_code == 2
    assert "mine.toml exists" in refused.stderr
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "# by hand"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("../mine",), "is no name for a recipe"),
        (("mine", "--like", "zoo/nothing"), "no recipe called 'zoo/nothing' comes along"),
        (("mine", "--kind", "nothing"), "no layout is known of kind 'nothing'"),
        (("mine", "--markup", "67"), "unknown markup '67'"),
    ],
)
def test_what_cannot_be_is_one_message(
    words: tuple[str, ...],
    message: str,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = _ask(*words, "--faces", faces)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_does_not_fit_the_faces_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landmint.pipeline import new_recipe

    monkeypatch.chdir(tmp_path)
    other = 'about = "of 98"\n\n[faces]\n\n[student.model]\nname = "pfld"\nmarkup = "98"\n'
    (tmp_path / "base.toml").write_text(other, encoding="utf-8")
    monkeypatch.setattr(new_recipe, "shipped_recipes", lambda: {"base": tmp_path / "base.toml"})
    with pytest.raises(LandmintError, match="the faces have markup 68"):
        new_recipe.write_new_recipe("mine", "base", FACES)
    assert [path.name for path in tmp_path.iterdir()] == ["base.toml"]
