"""Rewrites the generated pages of docs/: `python -m scripts.reference`."""

from scripts.reference import PAGES


def main() -> None:
    """Write every page."""
    for page in PAGES:
        page.PAGE.write_text(page.build(), encoding="utf-8")


if __name__ == "__main__":
    main()
