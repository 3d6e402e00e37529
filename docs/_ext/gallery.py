"""How the examples are run for the gallery: in their quick form, with the pictures that they write."""

import shutil
from pathlib import Path
from typing import Any

from joblib.externals.loky import get_reusable_executor
from PIL import Image

OUTPUT_FOLDER = "gallery"


def quick_arguments(_gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """The arguments of an example: --quick where it has that."""
    text = Path(script_vars["src_file"]).read_text(encoding="utf8")
    return ["--quick"] if '"--quick"' in text else []


def new_workers(_gallery_conf: dict[str, Any], _name: str) -> None:
    """Each example starts its own workers, as in a process of its own: they know its environment variables."""
    get_reusable_executor().shutdown(wait=True)


class NewPictures:
    """Take the PNG files that a script has written into its folder, and leave the folder as it was."""

    def __repr__(self) -> str:  # a part of what Sphinx compares with the build before
        return "NewPictures"

    def __call__(self, block: tuple, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
        written = sorted(Path(block_vars["src_file"]).parent.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
        figures = []
        for path, target in zip(written, block_vars["image_path_iterator"], strict=False):
            with Image.open(path) as picture:
                caption = picture.text.get("Description", "")
            if not caption:
                raise ValueError(f"{path.name} has no caption: pass metadata={{'Description': ...}} to savefig.")
            shutil.move(path, target)
            place = Path(target).relative_to(gallery_conf["src_dir"]).as_posix()
            figures.append(
                f".. figure:: /{place}\n   :alt: {caption}\n   :class: sphx-glr-single-img\n\n   {caption}\n"
            )
        return "\n".join(figures)
