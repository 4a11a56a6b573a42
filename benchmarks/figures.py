"""Write the table of figures of docs/how-it-measures.md from `landmint.pipeline.judge.figures`.

make reference
"""

import re
from pathlib import Path

from landmint.pipeline.judge import figures
from landmint.pipeline.judge.figures import LIMITED, Figure
from landmint.pipeline.text import markdown_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-it-measures.md"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"


def figures_table() -> str:
    """Every figure that variants are judged or chosen by, in Markdown."""
    keys = {figure: f"`{key}`" for key, figure in LIMITED.items()}
    known = [value for value in vars(figures).values() if isinstance(value, Figure)]
    rows = [
        [figure.name, figure.unit, figure.better, keys.get(figure, ""), f"{figure.meaning}."]
        for figure in known
    ]
    return markdown_table(("figure", "unit", "better", "limited by", "what it is"), rows)


def with_table(page: str) -> str:
    """The page with its table written anew."""
    pattern = re.compile(f"{BEGIN}\n.*?{END}", re.DOTALL)
    assert len(pattern.findall(page)) == 1, f"{PAGE} needs a line {BEGIN} and a line {END}"
    return pattern.sub(lambda _: f"{BEGIN}\n{figures_table()}\n{END}", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"the table of figures in {PAGE.name} written")
