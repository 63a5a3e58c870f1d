"""Writes docs/methods.md: `python -m scripts.methods_docs`."""

from scripts.methods_docs.page import PAGE, build


def main() -> None:
    """Write the page."""
    PAGE.write_text(build(), encoding="utf-8")


if __name__ == "__main__":
    main()
