"""What was built and measured, as one self-contained HTML page that a person wants to read.

Measurements go in, a page comes out; nothing is measured or judged here. The page fetches nothing
and runs no script. Figures and tables come from the same summaries that the command line prints.
"""

from pathlib import Path

from landmint.pipeline.report.render import render
from landmint.runtime.files import write_text


def write_report(run_dir: Path, out: Path) -> Path:
    """Write the report of a run.

    Args:
        run_dir: folder of a run: `bundle` and `measurements` have to be there, `verdict`,
            `teacher`, `student`, `faces` and the records of the stages are shown where they are.
        out: the HTML file to write; an older one is replaced.

    Returns:
        `out`.

    Raises:
        LandmintError: the bundle or the measurements are missing or broken.
    """
    from landmint.pipeline.report.page import page_of  # and matplotlib, which takes long

    write_text(out, render(page_of(run_dir)))
    return out
